//! `$(NAME)` references in commands, arguments, values and sub-paths.

/// Expands `text`: `$(NAME)` becomes what `value_of` says and stays as written if that is nothing; `$$` is one dollar.
pub(crate) fn expand_with<'a>(text: &str, value_of: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let after = &from[1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|body| body.split_once(')')) {
            match value_of(name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Expands every reference in a sub-path.
///
/// # Errors
/// Unlike elsewhere, a name that is not known is an error: the names are returned.
pub(crate) fn expand_strictly(text: &str, env: &[(String, String)]) -> Result<String, Vec<String>> {
    let missing = std::cell::RefCell::new(Vec::new());
    let expanded = expand_with(text, |name| {
        let found = lookup(env, name);
        if found.is_none() {
            missing.borrow_mut().push(name.to_owned());
        }
        found
    });
    let missing = missing.into_inner();
    if missing.is_empty() {
        Ok(expanded)
    } else {
        Err(missing)
    }
}

/// The last value wins, as it does in a process's environment made in this order.
pub(crate) fn lookup<'a>(env: &'a [(String, String)], name: &str) -> Option<&'a str> {
    env.iter()
        .rev()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_expanded_as_upstream_does() {
        let env = [("A", "1"), ("B", "two words"), ("E", ""), ("X-Y", "dash")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        for (text, want) in [
            ("", ""),
            ("plain", "plain"),
            ("$(A)", "1"),
            ("$(A)$(B)", "1two words"),
            ("x$(A)y", "x1y"),
            ("$(E)", ""),
            ("$(X-Y)", "dash"),
            ("$(NONE)", "$(NONE)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$$$", "$$"),
            ("$", "$"),
            ("$A", "$A"),
            ("$(A", "$(A"),
            ("$(A$(B)", "$(A$(B)"),
            ("a$", "a$"),
            ("$()", "$()"),
            ("ü$(A)ü", "ü1ü"),
        ] {
            assert_eq!(super::super::expand(text, &env), want, "{text}");
        }
    }

    #[test]
    fn a_sub_path_needs_all_of_its_names() {
        let env = [("A".to_owned(), "1".to_owned())];
        assert_eq!(expand_strictly("p/$(A)", &env), Ok("p/1".to_owned()));
        assert_eq!(
            expand_strictly("$(A)/$(B)/$(C)", &env),
            Err(vec!["B".to_owned(), "C".to_owned()])
        );
    }

    proptest::proptest! {
        #[test]
        fn text_without_dollars_is_untouched(text in "[^$]*") {
            proptest::prop_assert_eq!(super::super::expand(&text, &[]), text);
        }

        #[test]
        fn any_text_is_expanded_without_panic(text in "[$()A-Bü ]*") {
            let _ = super::super::expand(&text, &[("A".to_owned(), "$(A)".to_owned())]);
        }
    }
}
