//! The SQL texts of a file, from its syntax tree: literals given to `sqlx::query…`, `raw_sql` or an executor, directly
//! or through a constant. A text that is put together at run time cannot be checked, so it is a finding.

use crate::finding::Finding;
use crate::sources::Rust;
use crate::syntax;
use std::collections::BTreeMap;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// One SQL text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    pub file: String,
    pub line: usize,
    pub sql: String,
    /// How many values the statement binds, where it is written as one chain of calls.
    pub binds: Option<usize>,
}

/// What speaks to each engine in its own words: schemas, pragmas, clocks, and the catalogues from which whole databases
/// are copied. It is run whenever a database is opened, or by its own tests on both, so its texts need no check here.
const ENGINE: &[&str] = &["services/lib/storage/src/db.rs", "services/lib/storage/src/snapshot/"];

fn is_engine(path: &str) -> bool {
    ENGINE.iter().any(|engine| path.starts_with(engine))
}

type Literals = Vec<(String, usize)>;

/// The texts of `files`, whose constants they may share.
pub fn texts(files: &[&Rust]) -> (Vec<Text>, Vec<Finding>) {
    let mut named = Named::default();
    files.iter().filter(|rust| !is_engine(&rust.path)).for_each(|rust| named.visit_file(&rust.file));
    let mut all = (Vec::new(), Vec::new());
    for rust in files.iter().filter(|rust| !is_engine(&rust.path) && !rust.test) {
        let mut statements = Statements {
            path: &rust.path,
            named: &named,
            binds: BTreeMap::new(),
            texts: vec![],
            findings: vec![],
        };
        statements.visit_file(&rust.file);
        all.0.append(&mut statements.texts);
        all.1.append(&mut statements.findings);
        for name in syntax::names(&rust.file, rust.test).iter().filter(|name| name.in_macro) {
            if name.root() == "sqlx" && name.path.last().is_some_and(|last| is_query(last)) {
                all.1.push(Finding::new(
                    &rust.path,
                    name.line,
                    "SQL stands outside of macros, where it can be read",
                ));
            }
        }
    }
    all
}

const FUNCTIONS: &[&str] =
    &["query", "query_as", "query_scalar", "query_with", "query_as_with", "query_scalar_with", "raw_sql"];

fn is_query(name: &str) -> bool {
    name.starts_with("query") || name == "raw_sql"
}

/// Constants, statics and local names that hold literals.
#[derive(Default)]
struct Named(BTreeMap<String, Literals>);

impl Named {
    fn add(&mut self, name: &syn::Ident, value: &syn::Expr) {
        if let Some(found) = self.literals(value) {
            self.0.entry(name.to_string()).or_default().extend(found);
        }
    }

    /// The literals that `value` can be, or nothing if it can be something else.
    fn literals(&self, value: &syn::Expr) -> Option<Literals> {
        let every = |values: &mut dyn Iterator<Item = &syn::Expr>| -> Option<Literals> {
            Some(values.map(|value| self.literals(value)).collect::<Option<Vec<_>>>()?.concat())
        };
        let tail = |block: &syn::Block| match block.stmts.as_slice() {
            [syn::Stmt::Expr(value, None)] => self.literals(value),
            _ => None,
        };
        match value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => {
                Some(vec![(text.value(), text.span().start().line)])
            }
            syn::Expr::Paren(inner) => self.literals(&inner.expr),
            syn::Expr::Group(inner) => self.literals(&inner.expr),
            syn::Expr::Reference(inner) => self.literals(&inner.expr),
            syn::Expr::Unary(inner) => self.literals(&inner.expr),
            syn::Expr::Array(array) => every(&mut array.elems.iter()),
            syn::Expr::Block(block) => tail(&block.block),
            syn::Expr::Match(choice) => every(&mut choice.arms.iter().map(|arm| &*arm.body)),
            syn::Expr::If(choice) => {
                let other = self.literals(&choice.else_branch.as_ref()?.1)?;
                Some([tail(&choice.then_branch)?, other].concat())
            }
            syn::Expr::Path(path) => self.0.get(&path.path.segments.last()?.ident.to_string()).cloned(),
            syn::Expr::Macro(mac) if mac.mac.path.is_ident("concat") => {
                let parse = syn::punctuated::Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
                let parts = every(&mut mac.mac.parse_body_with(parse).ok()?.iter())?;
                Some(vec![(parts.into_iter().map(|(text, _)| text).collect(), value.span().start().line)])
            }
            _ => None,
        }
    }
}

impl<'a> Visit<'a> for Named {
    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        self.add(&item.ident, &item.expr);
    }

    fn visit_item_static(&mut self, item: &'a syn::ItemStatic) {
        self.add(&item.ident, &item.expr);
    }

    fn visit_local(&mut self, local: &'a syn::Local) {
        if let (syn::Pat::Ident(name), Some(value)) = (&local.pat, &local.init) {
            self.add(&name.ident, &value.expr);
        }
        visit::visit_local(self, local);
    }
}

struct Statements<'n> {
    path: &'n str,
    named: &'n Named,
    /// Values bound by the chain that starts with the call at this position.
    binds: BTreeMap<(usize, usize), usize>,
    texts: Vec<Text>,
    findings: Vec<Finding>,
}

impl Statements<'_> {
    fn take(&mut self, value: &syn::Expr, binds: Option<usize>) {
        match self.named.literals(value) {
            Some(found) => self.texts.extend(found.into_iter().map(|(sql, line)| Text {
                file: self.path.to_owned(),
                line,
                sql,
                binds,
            })),
            None => self.findings.push(Finding::new(
                self.path,
                value.span().start().line,
                "SQL is a literal or a constant, never put together at run time",
            )),
        }
    }
}

fn position(node: &impl Spanned) -> (usize, usize) {
    let start = node.span().start();
    (start.line, start.column)
}

impl<'a> Visit<'a> for Statements<'_> {
    fn visit_item(&mut self, item: &'a syn::Item) {
        if !syntax::for_tests(syntax::attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_expr_call(&mut self, call: &'a syn::ExprCall) {
        if let syn::Expr::Path(function) = &*call.func
            && let Some(last) = function.path.segments.last()
            && let Some(sql) = call.args.first()
        {
            let is_sqlx = function.path.segments[0].ident == "sqlx" && is_query(&last.ident.to_string());
            // By a `use`, or by another name of the crate: unless it is a function of our own that takes no text.
            let is_alike = FUNCTIONS.iter().any(|name| last.ident == name);
            if is_sqlx
                || is_alike && (function.path.segments.len() == 1 || self.named.literals(sql).is_some())
            {
                self.take(sql, self.binds.get(&position(&call.func)).copied());
            }
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        let method = call.method.to_string();
        if method == "execute" || method == "prepare" || method.starts_with("fetch") {
            // An executor takes the text itself, a query takes the executor.
            if let Some(text @ syn::Expr::Lit(_)) = call.args.first() {
                self.take(text, Some(0));
            }
            let (mut receiver, mut count) = (&*call.receiver, 0);
            while let syn::Expr::MethodCall(inner) = receiver {
                count += usize::from(inner.method == "bind");
                receiver = &inner.receiver;
            }
            if let syn::Expr::Call(start) = receiver {
                self.binds.insert(position(&start.func), count);
            }
        }
        visit::visit_expr_method_call(self, call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Rust {
        Rust {
            path: "services/x/src/store/x.rs".to_owned(),
            file: syn::parse_file(text).unwrap(),
            test: false,
        }
    }

    #[test]
    fn texts_are_found_however_they_are_given() {
        let rust = parsed(
            "const A: &str = \"a\";\nfn f() {\n sqlx::query(\"b\").bind(1).bind(2).fetch_one(c);\n ::sqlx::query_as::<_, X>(A);\n\
             query_scalar(concat!(\"c\", \"d\"));\n sqlx::raw_sql(\"e\").execute(c);\n c.execute(\"f\");\n\
             sqlx::query(match x { 1 => \"g\", _ => \"h\" });\n let text = if y { \"i\" } else { \"j\" };\n sqlx::query(text);\n db::query(\"l\"); event::query(&mut tx); query_events(db);\n}\n\
             #[cfg(test)]\nmod tests { fn t() { sqlx::query(\"k\"); } }",
        );
        let (texts, findings) = texts(&[&rust]);
        assert_eq!(findings, []);
        let mut found: Vec<(&str, usize, Option<usize>)> =
            texts.iter().map(|text| (text.sql.as_str(), text.line, text.binds)).collect();
        found.sort();
        assert_eq!(
            found,
            [
                ("a", 1, None),
                ("b", 3, Some(2)),
                ("cd", 5, None),
                ("e", 6, Some(0)),
                ("f", 7, Some(0)),
                ("g", 8, None),
                ("h", 8, None),
                ("i", 9, None),
                ("j", 9, None),
                ("l", 11, None),
            ]
        );
    }

    #[test]
    fn sql_that_is_put_together_is_a_finding() {
        for text in [
            "fn f(t: &str) {\n sqlx::query(AssertSqlSafe(format!(\"SELECT {t}\")));\n}",
            "fn f(t: &str) {\n sqlx::query(t);\n}",
            "fn f() {\n let all = join!(sqlx::query(\"SELECT 1\").fetch_one(c));\n}",
        ] {
            let (_, findings) = texts(&[&parsed(text)]);
            assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2], "{text}");
        }
    }
}
