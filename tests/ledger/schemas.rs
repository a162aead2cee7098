//! Records held against what `docs/events/` promises: CloudEvents in binary mode, with the data of their schema.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jsonschema::Validator;
use onair_testkit::kafka::Record;
use serde_json::Value;

pub(crate) struct Schemas(BTreeMap<String, Validator>);

impl Schemas {
    /// All that are in `docs/events/`, by type.
    pub(crate) fn read() -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events");
        let files =
            fs::read_dir(directory).expect("docs/events").map(|entry| entry.expect("an entry").path());
        let schemas = files.filter_map(|file| {
            let kind = file.file_name()?.to_str()?.strip_suffix(".json")?.to_owned();
            let schema: Value =
                serde_json::from_str(&fs::read_to_string(&file).expect("a file")).expect("JSON");
            Some((kind, jsonschema::validator_for(&schema).expect("a schema")))
        });
        let schemas = Self(schemas.collect());
        assert!(!schemas.0.is_empty(), "no schemas");
        schemas
    }

    pub(crate) fn faults_of(&self, record: &Record) -> Vec<String> {
        let mut faults = Vec::new();
        let room = record.key.as_deref().unwrap_or_default();
        for (name, value) in [
            ("ce_specversion", "1.0"),
            ("content-type", "application/json"),
            ("ce_subject", room),
            ("ce_partitionkey", room),
        ] {
            if record.header(name) != value {
                faults.push(format!("{name} is not {value}: {record:?}"));
            }
        }
        let Some(schema) = self.0.get(record.header("ce_type")) else {
            faults.push(format!("a type without a schema: {record:?}"));
            return faults;
        };
        match serde_json::from_str(&record.value) {
            Ok(data) => faults.extend(schema.iter_errors(&data).map(|error| format!("{error}: {record:?}"))),
            Err(error) => faults.push(format!("not JSON, {error}: {record:?}")),
        }
        faults
    }
}
