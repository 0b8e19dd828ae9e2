//! `Secret` is safe by what it lacks: no way to print, copy, compare, borrow or serialize what it holds. Checked in
//! the syntax tree, with the line, and by the compiler, which sees through macros.

use crate::finding::Finding;

const FORBIDDEN: &[&str] = &[
    "Clone",
    "Copy",
    "Display",
    "ToString",
    "LowerHex",
    "UpperHex",
    "Serialize",
    "Deref",
    "DerefMut",
    "AsRef",
    "AsMut",
    "Borrow",
    "BorrowMut",
    "PartialEq",
    "Eq",
    "PartialOrd",
    "Ord",
    "Hash",
    "Default",
    "Index",
    "IntoIterator",
    "Write",
];

/// What `file` gives to the type `Secret` that it must not have.
fn check(path: &str, file: &syn::File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add =
        |ident: &syn::Ident, what: String| findings.push(Finding::new(path, ident.span().start().line, what));
    for item in &file.items {
        match item {
            syn::Item::Struct(secret) if secret.ident == "Secret" => {
                for attribute in secret.attrs.iter().filter(|attribute| attribute.path().is_ident("derive")) {
                    let _ = attribute.parse_nested_meta(|meta| {
                        if let Some(last) = meta.path.segments.last() {
                            add(&last.ident, format!("Secret derives {}: it derives nothing", last.ident));
                        }
                        Ok(())
                    });
                }
                for field in
                    secret.fields.iter().filter(|field| !matches!(field.vis, syn::Visibility::Inherited))
                {
                    let name = field.ident.as_ref().unwrap_or(&secret.ident);
                    add(name, "the field of Secret is private".to_owned());
                }
            }
            syn::Item::Impl(implementation) if ends_with(&implementation.self_ty, "Secret") => {
                let Some((_, name, _)) = &implementation.trait_ else { continue };
                let Some(last) = name.segments.last() else { continue };
                if FORBIDDEN.iter().any(|forbidden| last.ident == forbidden) {
                    add(&last.ident, format!("Secret implements {}", last.ident));
                }
            }
            syn::Item::Impl(implementation) => {
                // `impl From<Secret> for String` and its like.
                let Some((_, name, _)) = &implementation.trait_ else { continue };
                let Some(last) = name.segments.last() else { continue };
                if let syn::PathArguments::AngleBracketed(arguments) = &last.arguments
                    && arguments
                        .args
                        .iter()
                        .any(|a| matches!(a, syn::GenericArgument::Type(t) if ends_with(t, "Secret")))
                {
                    add(&last.ident, format!("Secret is turned into something else by {}", last.ident));
                }
            }
            _ => {}
        }
    }
    findings
}

/// Whether a type is named so, itself or by reference.
fn ends_with(kind: &syn::Type, name: &str) -> bool {
    match kind {
        syn::Type::Reference(reference) => ends_with(&reference.elem, name),
        syn::Type::Path(path) => path.path.segments.last().is_some_and(|segment| segment.ident == name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::assert_none;
    use crate::sources;
    use keywright_domain::secret::Secret;
    use std::marker::PhantomData;

    #[test]
    fn nothing_in_the_domain_opens_secret() {
        // Another crate cannot implement a foreign trait for it.
        let (files, mut findings) = sources::rust(&["services/lib/domain"]);
        assert!(files.iter().any(|rust| rust.path == "services/lib/domain/src/secret.rs"));
        findings.extend(files.iter().flat_map(|rust| check(&rust.path, &rust.file)));
        assert_none(findings);
    }

    #[test]
    fn each_way_to_open_it_is_found() {
        let text = "#[derive(Clone, Debug)]\npub struct Secret(pub Vec<u8>);\nimpl fmt::Display for Secret {}\nimpl<'a> serde::Serialize for &'a Secret {}\n\
                    impl Deref for Secret {}\nimpl PartialEq for Secret {}\nimpl From<Secret> for String {}\nimpl fmt::Debug for Secret {}";
        let found = check("secret.rs", &syn::parse_file(text).unwrap());
        let lines: Vec<usize> = found.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 1, 2, 3, 4, 5, 6, 7], "{found:?}");
    }

    /// `HAS` is true where the type has the trait: an inherent constant, which exists only then, comes before the
    /// constant of a trait that every type has.
    macro_rules! has {
        ($kind:ty: $($bound:tt)+) => {{
            #[allow(dead_code)]
            trait Otherwise {
                const HAS: bool = false;
            }
            impl<T> Otherwise for Holds<T> {}
            struct Holds<T>(PhantomData<T>);
            #[allow(dead_code)]
            impl<T: $($bound)+> Holds<T> {
                const HAS: bool = true;
            }
            <Holds<$kind>>::HAS
        }};
    }

    #[test]
    fn the_compiler_finds_none_of_them() {
        let found = [
            has!(Secret: Clone),
            has!(Secret: std::fmt::Display),
            has!(Secret: serde::Serialize),
            has!(Secret: std::ops::Deref),
            has!(Secret: PartialEq),
            has!(Secret: AsRef<[u8]>),
        ];
        assert_eq!(found, [false; 6]);
        // The same question about a type that has them.
        let text = [
            has!(String: Clone),
            has!(String: std::fmt::Display),
            has!(String: serde::Serialize),
            has!(String: std::ops::Deref),
            has!(String: PartialEq),
            has!(String: AsRef<[u8]>),
        ];
        assert_eq!(text, [true; 6]);
    }

    #[test]
    fn its_debug_says_nothing() {
        let secret = Secret::from_text("canary".to_owned());
        assert_eq!(format!("{secret:?} {secret:#?}"), "Secret Secret");
    }
}
