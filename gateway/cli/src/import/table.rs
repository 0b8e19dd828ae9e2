//! CSV with a header: the columns by their names, in any order.

use super::{Found, Listed, SSH, port};

const COLUMNS: [&str; 7] = ["name", "host", "port", "group", "labels", "hostkey", "jumphost"];

pub fn read(text: &str) -> Result<Listed, String> {
    let mut rows = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
    let header: Vec<String> = rows
        .headers()
        .map_err(|error| format!("its header cannot be read: {error}"))?
        .iter()
        .map(|name| name.trim_start_matches('\u{feff}').to_ascii_lowercase())
        .collect();
    if let Some(unknown) = header.iter().find(|name| !COLUMNS.contains(&name.as_str())) {
        return Err(format!(
            "it has the column {unknown:?}. The header names some of: name, host, port, group, labels, hostKey, jumpHost"
        ));
    }
    if !header.iter().any(|name| name == "host") {
        return Err("its header has no column host".to_owned());
    }
    let mut listed = Listed::default();
    for (number, row) in (1u64..).zip(rows.records()) {
        let row = row.map_err(|error| format!("a row cannot be read: {error}"))?;
        let field = |name: &str| {
            let at = header.iter().position(|column| column == name);
            at.and_then(|at| row.get(at)).unwrap_or_default()
        };
        match server(field) {
            Ok(found) => listed.found.push(found),
            Err(why) => listed.skip(format!("row {number}"), why),
        }
    }
    Ok(listed)
}

fn server<'a>(field: impl Fn(&str) -> &'a str) -> Result<Found, String> {
    let host = field("host");
    if host.is_empty() {
        return Err("it names no host".to_owned());
    }
    let name = if field("name").is_empty() { host } else { field("name") };
    let port = if field("port").is_empty() { SSH } else { port(field("port"))? };
    let mut labels = Vec::new();
    for label in field("labels").split(';').map(str::trim).filter(|label| !label.is_empty()) {
        let (key, value) =
            label.split_once('=').ok_or_else(|| format!("its label {label:?} is not key=value"))?;
        labels.push((key.trim().to_owned(), value.trim().to_owned()));
    }
    let host_keys = field("hostkey").split(';').map(str::trim).filter(|key| !key.is_empty());
    Ok(Found {
        name: name.to_owned(),
        host: host.to_owned(),
        port,
        group: field("group").to_owned(),
        labels,
        host_keys: host_keys.map(str::to_owned).collect(),
        jump_host: Some(field("jumphost")).filter(|name| !name.is_empty()).map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_known_by_their_names() {
        let text = "\u{feff}Host,Name,labels,PORT\r\n192.0.2.1,web-1,\"env=prod; note=a, b\",2222\r\n192.0.2.2,,,\r\n,x,,\r\nh,y,,no\r\nh,z,env,\r\n";
        let listed = read(text).unwrap();
        assert_eq!(
            listed.found,
            [
                Found {
                    name: "web-1".into(),
                    host: "192.0.2.1".into(),
                    port: 2222,
                    labels: vec![("env".into(), "prod".into()), ("note".into(), "a, b".into())],
                    ..Found::default()
                },
                Found { name: "192.0.2.2".into(), host: "192.0.2.2".into(), port: 22, ..Found::default() },
            ]
        );
        let skipped: Vec<&str> = listed.skipped.iter().map(|it| it.entry.as_str()).collect();
        assert_eq!(skipped, ["row 3", "row 4", "row 5"]);
    }

    #[test]
    fn a_jump_host_is_named() {
        let listed = read("name,host,jumpHost\ndb,10.0.0.5,bastion\nbastion,192.0.2.1,\n").unwrap();
        let ways: Vec<Option<&str>> = listed.found.iter().map(|it| it.jump_host.as_deref()).collect();
        assert_eq!(ways, [Some("bastion"), None]);
    }

    #[test]
    fn another_table_is_refused_as_a_whole() {
        assert!(read("host,password\nh,x\n").unwrap_err().contains("password"));
        assert!(read("name,port\nh,1\n").unwrap_err().contains("no column host"));
        assert!(read("").unwrap_err().contains("no column host"));
    }
}
