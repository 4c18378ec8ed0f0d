//! Files of the repository that show what the program does. `INFRA_UPDATE=1` writes them anew.

use super::site::{Site, repository};

fn compare(file: &str, said: &str) {
    let path = repository().join(file);
    if std::env::var_os("INFRA_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, said).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == said, "{file} is not what the program says; INFRA_UPDATE=1 writes it anew. It says:\n{said}");
}

#[tokio::test]
async fn the_first_plans() {
    let site = Site::of_this_repository().await;
    for environment in ["shared", "staging", "production"] {
        let plan = site.infra(&format!("plan {environment}")).await.well();
        assert_eq!(plan.stderr, "", "no finding in {environment}");
        compare(&format!("plans/{environment}.txt"), &plan.stdout);
    }
    compare("environments/schema.json", &site.infra("schema").await.well().stdout);
}

#[test]
fn the_findings() {
    compare("docs/findings.md", &infra::check::markdown());
}
