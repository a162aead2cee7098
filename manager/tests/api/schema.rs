//! Compares answers with the OpenAPI document: known fields only, required fields all there, types right.

use serde_json::Value;

/// The schema of an answer, if the document has this path, method and status.
pub(crate) fn of_answer<'a>(document: &'a Value, path: &str, method: &str, status: u16) -> Option<&'a Value> {
    let operation = operation(document, path, &method.to_lowercase())?;
    let response = &operation["responses"][status.to_string()];
    assert!(response.is_object(), "{method} {path} answered {status}, which is not documented");
    response["content"].as_object()?.values().next().map(|content| &content["schema"])
}

fn operation<'a>(document: &'a Value, path: &str, method: &str) -> Option<&'a Value> {
    let path = path.split('?').next()?;
    let matches = |template: &str| {
        let (a, b): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        a.len() == b.len() && a.iter().zip(&b).all(|(t, p)| t.starts_with('{') || t == p)
    };
    let (_, item) = document["paths"].as_object()?.iter().find(|(template, _)| matches(template))?;
    item.get(method)
}

/// Panics where `value` is not what `schema` says.
pub(crate) fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        let target = &document["components"]["schemas"][name];
        assert!(target.is_object(), "{reference} leads nowhere");
        // Routes may add members to a problem; the document says so in words.
        return if name == "ProblemBody" {
            check_object(document, target, value, at, true);
        } else {
            check(document, target, value, at);
        };
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        if value.is_null() {
            assert!(choices.iter().any(|c| c["type"] == "null"), "{at} is null");
            return;
        }
        let choices: Vec<_> = choices.iter().filter(|c| c["type"] != "null").collect();
        if let [only] = choices[..] {
            return check(document, only, value, at);
        }
        let is_one = choices.iter().any(|c| c["enum"].as_array().is_some_and(|names| names.contains(value)));
        assert!(is_one, "{at}: {value} is none of the choices");
        return;
    }
    if let Some(names) = schema["enum"].as_array() {
        assert!(names.contains(value), "{at}: {value} is not one of {names:?}");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let actual = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_right = types.contains(&actual) || (actual == "integer" && types.contains(&"number"));
    assert!(is_right, "{at}: {value} is not {types:?}");
    match value {
        Value::Object(_) if schema["properties"].is_object() => {
            check_object(document, schema, value, at, false);
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                check(document, &schema["items"], item, &format!("{at}[{n}]"));
            }
        }
        _ => {}
    }
}

fn check_object(document: &Value, schema: &Value, value: &Value, at: &str, more_allowed: bool) {
    let properties =
        schema["properties"].as_object().unwrap_or_else(|| panic!("{at}: no properties: {schema}"));
    let object = value.as_object().unwrap_or_else(|| panic!("{at} is no object: {value}"));
    for (name, member) in object {
        match properties.get(name) {
            Some(schema) => check(document, schema, member, &format!("{at}.{name}")),
            None => assert!(more_allowed, "{at}.{name} is not documented"),
        }
    }
    // "What is not known is null, never left out": so whatever is documented must be there.
    for name in properties.keys() {
        assert!(object.contains_key(name), "{at}.{name} is missing");
    }
}
