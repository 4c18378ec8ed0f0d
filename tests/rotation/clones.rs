//! The clone of a user is what its original is, also later.

use tokio_postgres::Client;

use crate::site::{Site, Strategy};

/// All that a user may do with tables, schemas, databases, functions and sequences, by name.
const RIGHTS: &str = "
SELECT 'table ' || c.oid::regclass || ' ' || p FROM pg_class c,
    unnest(ARRAY['SELECT','INSERT','UPDATE','DELETE','TRUNCATE','REFERENCES','TRIGGER']) p
    WHERE c.relkind = 'r' AND has_table_privilege($1::text, c.oid, p) AND c.relnamespace::regnamespace::text IN ('public', 'shop')
UNION ALL SELECT 'schema ' || n.nspname || ' ' || p FROM pg_namespace n, unnest(ARRAY['CREATE','USAGE']) p
    WHERE has_schema_privilege($1::text, n.oid, p)
UNION ALL SELECT 'database ' || d.datname || ' ' || p FROM pg_database d, unnest(ARRAY['CREATE','CONNECT','TEMP']) p
    WHERE has_database_privilege($1::text, d.oid, p)
UNION ALL SELECT 'member of ' || r.rolname FROM pg_roles r
    WHERE r.rolname NOT IN ('app', 'app_clone') AND pg_has_role($1::text, r.oid, 'USAGE')
UNION ALL SELECT 'may ' || a FROM pg_roles r, LATERAL (VALUES ('create databases', rolcreatedb), ('inherit', rolinherit),
    ('log in', rolcanlogin), ('have ' || rolconnlimit || ' connections', true)) AS each (a, has)
    WHERE r.rolname = $1 AND has
UNION ALL SELECT 'setting ' || setdatabase || ' ' || line FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole,
    unnest(setconfig) AS line WHERE r.rolname = $1 AND line NOT LIKE 'role=%'
ORDER BY 1";

async fn rights(master: &Client, user: &str) -> Vec<String> {
    master.query(RIGHTS, &[&user]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_clone_is_what_its_original_is() {
    let Some(site) = Site::start(Strategy::AlternatingUsers).await else { return };
    let master = site.postgres.master().await;
    let made = "
        CREATE SCHEMA shop;
        CREATE SCHEMA \"Odd, name\";
        CREATE TABLE shop.orders (id int);
        CREATE ROLE readers;
        CREATE TABLE public.prices (id int);
        GRANT SELECT ON public.prices TO readers;
        GRANT readers TO app;
        GRANT USAGE ON SCHEMA shop TO app;
        GRANT SELECT, INSERT ON shop.orders TO app;
        ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT, DELETE ON TABLES TO app;
        ALTER ROLE app CREATEDB CONNECTION LIMIT 90;
        ALTER ROLE app SET statement_timeout TO '30s';
        ALTER ROLE app IN DATABASE postgres SET search_path TO shop, \"Odd, name\", public;
        ALTER ROLE app SET application_name TO 'it''s; \"quoted\" \\ $$';";
    master.batch_execute(made).await.unwrap();
    let function = site.function().await;
    site.rotate(&function).await.unwrap();
    let of_app = rights(&master, "app").await;
    assert!(of_app.len() > 15, "{of_app:#?}");
    assert_eq!(rights(&master, "app_clone").await, of_app);

    // What one of them makes, the other has too; what others make later, both may use.
    let clone = site.current().await;
    let clone = site.postgres.database().login(&clone, &clone.username, &clone.password).await.unwrap().into_client();
    clone.batch_execute("CREATE TABLE public.later (id int); INSERT INTO public.later VALUES (1)").await.unwrap();
    let path: String = clone.query_one("SHOW search_path", &[]).await.unwrap().get(0);
    assert_eq!(path, "shop, \"Odd, name\", public");
    master.batch_execute("CREATE TABLE shop.after (id int); ALTER ROLE app RESET statement_timeout").await.unwrap();
    let owner = "SELECT relowner::regrole::text FROM pg_class WHERE relname = 'later'";
    let owner: String = master.query_one(owner, &[]).await.unwrap().get(0);
    assert_eq!(owner, "app");
    site.rotate(&function).await.unwrap();
    site.rotate(&function).await.unwrap();
    let of_app = rights(&master, "app").await;
    assert!(
        of_app.contains(&"table after DELETE".to_owned()) || of_app.contains(&"table shop.after DELETE".to_owned())
    );
    assert_eq!(rights(&master, "app_clone").await, of_app);
}

/// What a user may write about itself becomes no part of a statement of the master user's.
#[tokio::test]
async fn a_user_that_would_be_master() {
    let Some(site) = Site::start(Strategy::AlternatingUsers).await else { return };
    let app = site.current().await;
    let app = site.postgres.database().login(&app, &app.username, &app.password).await.unwrap().into_client();
    let hostile = "
        CREATE FUNCTION public.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql AS $$ SELECT 'ALTER ROLE app SUPERUSER' $$;
        CREATE FUNCTION public.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$;
        ALTER ROLE app SET search_path TO 'public', 'pg_catalog', 'a;ALTER/**/ROLE/**/app/**/SUPERUSER;--';
        ALTER ROLE app SET application_name TO '''; ALTER ROLE app SUPERUSER; --';";
    app.batch_execute(hostile).await.unwrap();
    let function = site.function().await;
    for _ in 0..3 {
        site.rotate(&function).await.unwrap();
        assert!(site.works(&site.current().await).await);
    }
    let master = site.postgres.master().await;
    let supers = "SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolsuper";
    let supers: String = master.query_one(supers, &[]).await.unwrap().get(0);
    assert_eq!(supers, "master");
    assert_eq!(rights(&master, "app_clone").await, rights(&master, "app").await);
}
