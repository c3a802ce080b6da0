//! Finds the elements of a list as its bytes arrive: of a JSON array, or one a line.
//!
//! It knows just enough of JSON to find where an element ends; what an element holds is for a real
//! parser to judge, which each is handed to.

/// The list cannot be one, or an element was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

pub(super) struct Elements {
    state: State,
    /// The element under way.
    element: Vec<u8>,
    longest: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but white space so far.
    Start,
    Lines,
    /// In an array, between elements.
    Between {
        /// A comma or `]` must come, not an element.
        after_element: bool,
        is_first: bool,
    },
    /// In an element of an array.
    Inside {
        depth: u32,
        in_string: bool,
        escaped: bool,
    },
    /// Past the array's end.
    Over,
}

const FIRST: State = State::Between {
    after_element: false,
    is_first: true,
};

impl Elements {
    /// `longest`: most bytes of one element.
    pub(super) fn new(longest: usize) -> Self {
        Self {
            state: State::Start,
            element: Vec::new(),
            longest,
        }
    }

    pub(super) fn was_array(&self) -> bool {
        !matches!(self.state, State::Start | State::Lines)
    }

    /// In an array whose end has not come.
    pub(super) fn is_unfinished(&self) -> bool {
        matches!(self.state, State::Between { .. } | State::Inside { .. })
    }

    /// Takes the next bytes and hands over each element that they end.
    pub(super) fn push(
        &mut self,
        data: &[u8],
        mut found: impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut data = data;
        while let Some((byte, rest)) = data.split_first() {
            if self.state == State::Lines
                && let Some(end) = data.iter().position(|b| *b == b'\n')
                && let Some((line, rest)) = data.split_at_checked(end)
            {
                // The common case: whole lines at once, and in one piece without a copy.
                if self.element.is_empty() && line.len() <= self.longest {
                    if !line.trim_ascii().is_empty() {
                        found(line)?;
                    }
                } else {
                    self.grow(line)?;
                    self.end_element(&mut found)?;
                }
                data = rest.get(1..).unwrap_or_default();
            } else if self.state == State::Lines {
                return self.grow(data);
            } else {
                self.step(*byte, &mut found)?;
                data = rest;
            }
        }
        Ok(())
    }

    /// Nothing more comes.
    pub(super) fn end(
        &mut self,
        mut found: impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        match self.state {
            State::Start | State::Over => Ok(()),
            State::Lines => self.end_element(&mut found),
            State::Between { .. } | State::Inside { .. } => Err(Malformed),
        }
    }

    fn step(
        &mut self,
        byte: u8,
        found: &mut impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let is_space = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        match self.state {
            State::Start if is_space => Ok(()),
            State::Start if byte == b'[' => {
                self.state = FIRST;
                Ok(())
            }
            State::Start => {
                self.state = State::Lines;
                self.grow(&[byte])
            }
            State::Lines => self.grow(&[byte]),
            State::Between { .. } if is_space => Ok(()),
            State::Between {
                after_element,
                is_first,
            } => match byte {
                b']' if after_element || is_first => {
                    self.state = State::Over;
                    Ok(())
                }
                b',' if after_element => {
                    self.state = State::Between {
                        after_element: false,
                        is_first: false,
                    };
                    Ok(())
                }
                // Elements are objects: anything else is another kind of list.
                b'{' if !after_element => {
                    self.state = State::Inside {
                        depth: 1,
                        in_string: false,
                        escaped: false,
                    };
                    self.grow(&[byte])
                }
                _ => Err(Malformed),
            },
            State::Inside {
                depth,
                in_string,
                escaped,
            } => {
                self.grow(&[byte])?;
                let depth = match byte {
                    b'{' | b'[' if !in_string => depth.saturating_add(1),
                    b'}' | b']' if !in_string => depth.saturating_sub(1),
                    _ => depth,
                };
                if depth == 0 {
                    self.state = State::Between {
                        after_element: true,
                        is_first: false,
                    };
                    return self.end_element(found);
                }
                self.state = State::Inside {
                    depth,
                    in_string: in_string != (byte == b'"' && !escaped),
                    escaped: in_string && !escaped && byte == b'\\',
                };
                Ok(())
            }
            State::Over if is_space => Ok(()),
            State::Over => Err(Malformed),
        }
    }

    fn grow(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        if self.element.len() + bytes.len() > self.longest {
            return Err(Malformed);
        }
        self.element.extend_from_slice(bytes);
        Ok(())
    }

    fn end_element(
        &mut self,
        found: &mut impl FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let outcome = if self.element.trim_ascii().is_empty() {
            Ok(())
        } else {
            found(&self.element)
        };
        self.element.clear();
        outcome
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// All elements, with the input cut into pieces of the given length.
    fn elements(text: &[u8], piece: usize) -> Result<Vec<Vec<u8>>, Malformed> {
        let mut list = Elements::new(1 << 16);
        let mut found = Vec::new();
        for data in text.chunks(piece) {
            list.push(data, |e| {
                found.push(e.to_vec());
                Ok(())
            })?;
        }
        list.end(|e| {
            found.push(e.to_vec());
            Ok(())
        })?;
        Ok(found)
    }

    fn object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::from),
            "[\\[\\]{}\",\\\\a\n]{0,8}".prop_map(Value::from),
        ];
        let tree = leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a\"\\]]{0,3}", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[a-c\\\\\"]{0,3}", tree, 0..4)
            .prop_map(|m| Value::Object(m.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn arrays_and_lines_come_apart_however_they_arrive(
            list in prop::collection::vec(object(), 0..6),
            piece in 1_usize..20,
            pretty in any::<bool>(),
        ) {
            let array = if pretty {
                serde_json::to_vec_pretty(&list).unwrap()
            } else {
                serde_json::to_vec(&list).unwrap()
            };
            let lines: String = list.iter().map(|v| format!("{v}\n")).collect();
            for text in [array.as_slice(), lines.as_bytes(), lines.trim_end().as_bytes()] {
                let found = elements(text, piece).unwrap();
                let found: Vec<Value> =
                    found.iter().map(|e| serde_json::from_slice(e).unwrap()).collect();
                prop_assert_eq!(&found, &list);
            }
        }

        #[test]
        fn hostile_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = elements(&text, 7);
        }
    }

    #[test]
    fn broken_lists_are_malformed() {
        for bad in [
            "[", "[{", "[{}", "[{},", "[{},]", "[,{}]", "[{}{}]", "[1]", "[]x",
        ] {
            assert_eq!(elements(bad.as_bytes(), 3), Err(Malformed), "{bad}");
        }
        assert_eq!(elements(&[b'x'; 70_000], 100), Err(Malformed), "too long");
        assert_eq!(elements(b" [ ] ", 1), Ok(vec![]));
    }
}
