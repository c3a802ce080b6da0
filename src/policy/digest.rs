//! The digest of a policy: SHA-256 over what its files mean.
//!
//! Comments, blank space, the order of keys in a table and the way a value is quoted do not
//! count; the order of lists does, since permits stand in order of preference.

use aws_lc_rs::digest::{Context, SHA256};

use crate::{
    document::{Node, Value},
    domain::Digest,
};

/// Of files in a fixed order, each with the name of its part in the policy.
pub fn digest<'a>(files: impl IntoIterator<Item = (&'a str, &'a Node)>) -> Digest {
    let mut text = String::new();
    for (name, node) in files {
        text.push_str(&escape(name));
        text.push('=');
        write(&mut text, node);
        text.push('\n');
    }
    let mut context = Context::new(&SHA256);
    context.update(text.as_bytes());
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    Digest(bytes)
}

/// What a part of a file means, in one form: equal texts are equal meanings.
pub fn meaning(node: &Node) -> String {
    let mut text = String::new();
    write(&mut text, node);
    text
}

fn write(out: &mut String, node: &Node) {
    match &node.value {
        Value::Text(text) => out.push_str(&escape(text)),
        // A day may be quoted or not; both mean the same.
        Value::Date(day) => out.push_str(&escape(&day.to_string())),
        Value::Integer(i) => out.push_str(&i.to_string()),
        Value::Float(x) => out.push_str(&format!("{x:?}")),
        Value::Boolean(b) => out.push_str(if *b { "true" } else { "false" }),
        // Its fault is told: no policy comes of it.
        Value::Broken => {}
        Value::List(items) => {
            out.push('[');
            for item in items {
                write(out, item);
                out.push(',');
            }
            out.push(']');
        }
        Value::Table(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            out.push('{');
            for (key, _, value) in sorted {
                out.push_str(&escape(key));
                out.push(':');
                write(out, value);
                out.push(',');
            }
            out.push('}');
        }
    }
}

fn escape(text: &str) -> String {
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Faults;

    fn of(text: &str) -> Digest {
        let faults = Faults::new();
        let node = Node::parse("t.toml", text.to_owned(), &faults).unwrap();
        digest([("t", &node)])
    }

    #[test]
    fn form_does_not_count_and_meaning_does() {
        let base = of("a = 1\n[b]\nday = 2024-01-31\nlist = [\"x\", 'y']\n");
        let reformatted = of("# why\nb = { list = ['x',\n \"y\"], day = 2024-01-31 }\na = 1");
        assert_eq!(base, reformatted);
        for changed in [
            "a = 2\n[b]\nday = 2024-01-31\nlist = [\"x\", 'y']\n",
            "a = 1\n[b]\nday = 2024-02-01\nlist = [\"x\", 'y']\n",
            "a = 1\n[b]\nday = 2024-01-31\nlist = [\"y\", 'x']\n",
            "a = \"1\"\n[b]\nday = 2024-01-31\nlist = [\"x\", 'y']\n",
            "a = 1\n[b]\nday = 2024-01-31\nlist = [\"x,y\"]\n",
        ] {
            assert_ne!(base, of(changed), "{changed}");
        }
    }
}
