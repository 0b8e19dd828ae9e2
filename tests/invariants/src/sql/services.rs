//! The services that have a database, read from the composition root: `at.database("name", &alias::MIGRATIONS)`.
//! So what the checks open is what the server opens.

use crate::sources;
use std::collections::BTreeMap;
use std::path::PathBuf;
use syn::visit::{self, Visit};

/// One service with a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// As its database is called.
    pub name: String,
    /// Its directory, with a slash: `services/audit/`.
    pub directory: String,
}

impl Service {
    pub fn migrations(&self) -> PathBuf {
        sources::root().join(&self.directory).join("migrations")
    }
}

#[derive(Default)]
struct Roots {
    aliases: BTreeMap<String, String>,
    opened: Vec<(String, String)>,
}

impl<'a> Visit<'a> for Roots {
    fn visit_use_rename(&mut self, name: &'a syn::UseRename) {
        self.aliases.insert(name.rename.to_string(), name.ident.to_string());
    }

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        let mut arguments = call.args.iter();
        if call.method == "database"
            && let Some(syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(name), .. })) = arguments.next()
            && let Some(syn::Expr::Reference(reference)) = arguments.next()
            && let syn::Expr::Path(migrations) = &*reference.expr
        {
            self.opened.push((name.value(), migrations.path.segments[0].ident.to_string()));
        }
        visit::visit_expr_method_call(self, call);
    }
}

pub fn services() -> Vec<Service> {
    let text = std::fs::read_to_string(sources::root().join("services/server/src/roles.rs")).unwrap();
    let mut roots = Roots::default();
    roots.visit_file(&syn::parse_file(&text).unwrap());
    let directory = |alias: &String| {
        let name = roots.aliases.get(alias).unwrap_or(alias);
        format!("services/{}/", name.trim_start_matches("keywright_").replace('_', "-"))
    };
    roots
        .opened
        .iter()
        .map(|(name, alias)| Service { name: name.clone(), directory: directory(alias) })
        .collect()
}

#[test]
fn every_directory_of_migrations_belongs_to_a_service_that_is_opened() {
    let mut opened: Vec<String> = services().into_iter().map(|service| service.directory).collect();
    let mut present: Vec<String> = std::fs::read_dir(sources::root().join("services"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("migrations").is_dir())
        .map(|path| format!("services/{}/", path.file_name().unwrap().to_string_lossy()))
        .collect();
    opened.sort();
    present.sort();
    assert_eq!(opened, present);
}
