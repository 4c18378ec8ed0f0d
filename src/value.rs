//! A resource's fields as data: [`Value`], references between resources, and [`Arg`], a typed field that may hold one.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Number;

use crate::address::Address;

/// The fields of a resource, sorted by name.
pub type Fields = BTreeMap<String, Value>;
/// What AWS tells of a resource that exists: its id, ARN, DNS name, endpoint, ...
pub type Outputs = BTreeMap<String, String>;

/// A field's value. Only the desired side holds a [`Template`]; live values are all known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Value>),
    Map(Fields),
    Template(Template),
}

/// Text around references to outputs of other resources.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Template(pub Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Text(String),
    Output(Output),
}

/// One output of one resource, as in `security_group.api` and `id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Output {
    pub of: Address,
    pub name: String,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.of, self.name)
    }
}

impl Template {
    #[must_use]
    pub fn output(of: &Address, name: &str) -> Self {
        Self(vec![Part::Output(Output { of: of.clone(), name: name.to_owned() })])
    }

    pub fn references(&self) -> impl Iterator<Item = &Output> {
        self.0.iter().filter_map(|part| match part {
            Part::Output(output) => Some(output),
            Part::Text(_) => None,
        })
    }

    /// The text, once every reference is known; else the first output that is not.
    pub fn resolve(&self, known: &impl Fn(&Output) -> Option<String>) -> Result<String, Output> {
        self.0.iter().try_fold(String::new(), |mut text, part| {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Output(output) => text.push_str(&known(output).ok_or_else(|| output.clone())?),
            }
            Ok(text)
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Output(output) => write!(f, "${{{output}}}"),
        })
    }
}

impl Value {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Nothing, for the purpose of comparing: an absent field, an empty list and an empty map are one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::List(items) => items.is_empty(),
            Self::Map(fields) => fields.is_empty(),
            _ => false,
        }
    }

    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Every output this value refers to, in order.
    #[must_use]
    pub fn references(&self) -> Vec<&Output> {
        match self {
            Self::Template(template) => template.references().collect(),
            Self::List(items) => items.iter().flat_map(Value::references).collect(),
            Self::Map(fields) => fields.values().flat_map(Value::references).collect(),
            _ => Vec::new(),
        }
    }

    /// Puts `new` wherever `old` stands.
    pub fn replace(&mut self, old: &Self, new: &Self) {
        match self {
            here if here == old => *here = new.clone(),
            Self::List(items) => items.iter_mut().for_each(|item| item.replace(old, new)),
            Self::Map(fields) => fields.values_mut().for_each(|field| field.replace(old, new)),
            _ => {}
        }
    }

    /// The same value with every reference that is known replaced by its text.
    #[must_use]
    pub fn resolve(&self, known: &impl Fn(&Output) -> Option<String>) -> Self {
        match self {
            Self::Template(template) => match template.resolve(known) {
                Ok(text) => Self::Text(text),
                Err(_) => self.clone(),
            },
            Self::List(items) => Self::List(items.iter().map(|item| item.resolve(known)).collect()),
            Self::Map(fields) => Self::Map(resolve(fields, known)),
            other => other.clone(),
        }
    }

    /// Every text within, depth first.
    pub fn visit_texts<'a>(&'a self, visit: &mut impl FnMut(&'a str)) {
        match self {
            Self::Text(text) => visit(text),
            Self::List(items) => items.iter().for_each(|item| item.visit_texts(visit)),
            Self::Map(fields) => fields.values().for_each(|item| item.visit_texts(visit)),
            _ => {}
        }
    }
}

/// [`Value::resolve`] for all fields.
#[must_use]
pub fn resolve(fields: &Fields, known: &impl Fn(&Output) -> Option<String>) -> Fields {
    fields.iter().map(|(name, value)| (name.clone(), value.resolve(known))).collect()
}

/// The only key of the map that stands for a [`Template`] in JSON.
const TEMPLATE: &str = "${}";

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(value) => Self::Number(value),
            Json::String(value) => Self::Text(value),
            Json::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Json::Object(fields) => {
                if let (1, Some(parts)) = (fields.len(), fields.get(TEMPLATE))
                    && let Ok(template) = Template::deserialize(parts)
                    && !template.0.is_empty()
                {
                    return Self::Template(template);
                }
                Self::Map(fields.into_iter().map(|(key, value)| (key, Self::from(value))).collect())
            }
        }
    }
}

impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(value) => Self::Number(value.clone()),
            Value::Text(value) => Self::String(value.clone()),
            Value::List(items) => Self::Array(items.iter().map(Self::from).collect()),
            Value::Map(fields) => Self::Object(fields.iter().map(|(key, value)| (key.clone(), value.into())).collect()),
            Value::Template(template) => serde_json::json!({ TEMPLATE: template }),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::Value::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer).map(Self::from)
    }
}

/// A typed specification as fields. Absent options and empty collections are left out, so that they compare equal.
pub fn to_fields<T: Serialize>(spec: &T) -> Result<Fields, serde_json::Error> {
    match Value::from(serde_json::to_value(spec)?) {
        Value::Map(fields) => Ok(fields.into_iter().filter(|(_, value)| !value.is_empty()).collect()),
        _ => Err(serde_json::Error::custom("a specification must be a map")),
    }
}

/// Fields as a typed specification.
pub fn from_fields<T: DeserializeOwned>(fields: &Fields) -> Result<T, serde_json::Error> {
    let fields = fields.iter().map(|(name, value)| (name.clone(), value.into())).collect();
    T::deserialize(serde_json::Value::Object(fields))
}

/// A field of a kind that may hold a reference, so that files type-check before anything exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arg<T> {
    Known(T),
    Reference(Template),
}

impl<T> Arg<T> {
    /// The value. The executor resolves references before a kind sees them, so a reference here is a defect.
    pub fn get(&self) -> Result<&T, Unresolved> {
        match self {
            Self::Known(value) => Ok(value),
            Self::Reference(template) => Err(Unresolved(template.to_string())),
        }
    }
}

impl<T> From<T> for Arg<T> {
    fn from(value: T) -> Self {
        Self::Known(value)
    }
}

impl From<&str> for Arg<String> {
    fn from(value: &str) -> Self {
        Self::Known(value.to_owned())
    }
}

impl<T: Default> Default for Arg<T> {
    fn default() -> Self {
        Self::Known(T::default())
    }
}

impl<T> Arg<T> {
    /// A reference to an output of a resource.
    #[must_use]
    pub fn output(of: &Address, name: &str) -> Self {
        Self::Reference(Template::output(of, name))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the reference {0} was not resolved before the call")]
pub struct Unresolved(pub String);

impl<T: Serialize> Serialize for Arg<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(value) => value.serialize(serializer),
            Self::Reference(template) => BTreeMap::from([(TEMPLATE, template)]).serialize(serializer),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Arg<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = serde_json::Value::deserialize(deserializer)?;
        if let Value::Template(template) = Value::from(json.clone()) {
            return Ok(Self::Reference(template));
        }
        T::deserialize(json).map(Self::Known).map_err(D::Error::custom)
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for Arg<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Arg_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut schema = T::json_schema(generator);
        schema.insert("x-reference".to_owned(), true.into());
        schema
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_survives_json_and_a_typed_field() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Subnet {
            vpc_id: Arg<String>,
            zone: Arg<String>,
        }
        let vpc = Address::new("vpc", "main");
        let subnet = Subnet { vpc_id: Arg::output(&vpc, "id"), zone: "us-east-1a".into() };
        let fields = to_fields(&subnet).unwrap();
        assert_eq!(fields["vpc_id"], Value::Template(Template::output(&vpc, "id")));
        assert_eq!(from_fields::<Subnet>(&fields).unwrap(), subnet);

        let known = |output: &Output| (output.of == vpc).then(|| "vpc-1".to_owned());
        let resolved: Subnet = from_fields(&resolve(&fields, &known)).unwrap();
        assert_eq!(resolved.vpc_id.get().unwrap(), "vpc-1");
        assert!(subnet.vpc_id.get().is_err());
    }
}
