//! Which paths a file names, read from its syntax tree: in `use`, in code, in types, in attributes and in the tokens
//! of macros. A `use` line alone would miss `::sqlx::query(…)`.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// One path of two segments or more, or the name of a crate in `use` or `extern crate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub path: Vec<String>,
    pub line: usize,
    /// In code that is compiled for tests alone.
    pub test: bool,
    /// In a `use` that others see.
    pub reexport: bool,
    /// In the tokens of a macro.
    pub in_macro: bool,
}

impl Named {
    pub fn root(&self) -> &str {
        &self.path[0]
    }
}

/// What `file` names. `test`: all of it is test code.
pub fn names(file: &syn::File, test: bool) -> Vec<Named> {
    let mut names = Names { found: Vec::new(), tests: usize::from(test) };
    names.visit_file(file);
    names.found
}

/// The modules that `file` declares in files of their own, for tests alone.
pub fn test_modules(file: &syn::File) -> Vec<String> {
    let declared = file.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if module.content.is_none() && for_tests(&module.attrs) => {
            Some(module.ident.to_string())
        }
        _ => None,
    });
    declared.collect()
}

/// `#[test]`, `#[tokio::test]`, `#[cfg(test)]`, and `cfg` of tests or something else.
pub fn for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let text = list.tokens.to_string().replace(' ', "");
            text == "test" || ["all(test,", "any(test,"].iter().any(|start| text.starts_with(start))
        }
        meta => meta.path().segments.last().is_some_and(|segment| segment.ident == "test"),
    })
}

struct Names {
    found: Vec<Named>,
    /// How many enclosing items are for tests alone.
    tests: usize,
}

impl Names {
    fn add(&mut self, path: Vec<String>, line: usize, reexport: bool, in_macro: bool) {
        self.found.push(Named { path, line, test: self.tests > 0, reexport, in_macro });
    }

    fn in_item(&mut self, attributes: &[syn::Attribute], visit: impl FnOnce(&mut Self)) {
        let tests = usize::from(for_tests(attributes));
        self.tests += tests;
        visit(self);
        self.tests -= tests;
    }

    fn use_tree(&mut self, tree: &syn::UseTree, before: &[String], reexport: bool) {
        let with = |ident: &syn::Ident| [before, &[ident.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.use_tree(&path.tree, &with(&path.ident), reexport),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.use_tree(item, before, reexport))
            }
            syn::UseTree::Name(name) => {
                self.add(with(&name.ident), name.ident.span().start().line, reexport, false)
            }
            syn::UseTree::Rename(name) => {
                self.add(with(&name.ident), name.ident.span().start().line, reexport, false)
            }
            syn::UseTree::Glob(glob) => {
                self.add(
                    [before, &["*".to_owned()]].concat(),
                    glob.star_token.spans[0].start().line,
                    reexport,
                    false,
                );
            }
        }
    }

    /// Paths among tokens that nobody has parsed.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let colons = |at: usize| {
            [at, at + 1]
                .iter()
                .all(|i| matches!(tokens.get(*i), Some(TokenTree::Punct(p)) if p.as_char() == ':'))
        };
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(first) => {
                    let mut path = vec![first.to_string()];
                    while colons(at + 1)
                        && let Some(TokenTree::Ident(next)) = tokens.get(at + 3)
                    {
                        path.push(next.to_string());
                        at += 3;
                    }
                    if path.len() > 1 {
                        self.add(path, first.span().start().line, false, true);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

impl<'a> Visit<'a> for Names {
    fn visit_item(&mut self, item: &'a syn::Item) {
        self.in_item(attributes(item), |names| visit::visit_item(names, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.in_item(&item.attrs, |names| visit::visit_impl_item_fn(names, item));
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        if path.segments.len() > 1 || path.leading_colon.is_some() {
            let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.add(segments, path.segments[0].ident.span().start().line, false, false);
        }
        visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        self.use_tree(&item.tree, &[], !matches!(item.vis, syn::Visibility::Inherited));
    }

    fn visit_item_extern_crate(&mut self, item: &'a syn::ItemExternCrate) {
        let reexport = !matches!(item.vis, syn::Visibility::Inherited);
        self.add(vec![item.ident.to_string()], item.ident.span().start().line, reexport, false);
    }

    fn visit_macro(&mut self, mac: &'a syn::Macro) {
        self.scan(mac.tokens.clone());
        visit::visit_macro(self, mac);
    }

    fn visit_meta_list(&mut self, list: &'a syn::MetaList) {
        self.scan(list.tokens.clone());
        visit::visit_meta_list(self, list);
    }
}

pub fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    use syn::Item::*;
    match item {
        Const(item) => &item.attrs,
        Enum(item) => &item.attrs,
        ExternCrate(item) => &item.attrs,
        Fn(item) => &item.attrs,
        Impl(item) => &item.attrs,
        Macro(item) => &item.attrs,
        Mod(item) => &item.attrs,
        Static(item) => &item.attrs,
        Struct(item) => &item.attrs,
        Trait(item) => &item.attrs,
        Type(item) => &item.attrs,
        Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_seen_however_it_is_named() {
        let text = "use one::{a, b as c};\nextern crate two;\nfn f(x: ::three::T) { four::g(); }\n\
                    #[five::attribute]\nfn g() {}\n#[derive(six::D)]\nstruct S;\nfn h() { say!(\"{}\", seven::X, ::eight::Y); }\n\
                    use nine as ten;\nfn i<T: eleven::Trait>() {}\npub(crate) use twelve::*;";
        let found = names(&syn::parse_file(text).unwrap(), false);
        let roots: Vec<(&str, usize)> = found.iter().map(|name| (name.root(), name.line)).collect();
        for expected in [
            ("one", 1),
            ("two", 2),
            ("three", 3),
            ("four", 3),
            ("five", 4),
            ("six", 6),
            ("seven", 8),
            ("eight", 8),
            ("nine", 9),
            ("eleven", 10),
            ("twelve", 11),
        ] {
            assert!(roots.contains(&expected), "{expected:?} is not in {roots:?}");
        }
        assert_eq!(
            found.iter().filter(|name| name.reexport).map(Named::root).collect::<Vec<_>>(),
            ["twelve"]
        );
    }

    #[test]
    fn test_code_is_told_from_the_rest() {
        let text = "#[cfg(test)] mod tests { fn f() { a::b(); } }\n#[cfg(not(test))] fn g() { c::d(); }\n#[test] fn h() { e::f(); }";
        let found = names(&syn::parse_file(text).unwrap(), false);
        let plain: Vec<&str> = found.iter().filter(|name| !name.test).map(Named::root).collect();
        assert_eq!(plain, ["c"]);
    }
}
