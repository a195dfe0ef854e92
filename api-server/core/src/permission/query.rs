//! Permission queries: `invoices.read AND (admin OR billing)`.
//!
//! ```text
//! expr     := and_expr { OR and_expr }
//! and_expr := primary { AND primary }
//! primary  := PERMISSION | '(' expr ')'
//! ```
//! AND binds tighter. AND and OR count in any letter case, as complete words. A permission is a run of ASCII letters, digits and
//! `. _ - * : /`. `*` is an ordinary character: only identical strings match.

/// The longest query that the API takes, in bytes. It also bounds the depth of the parser's recursion.
const MAX_LENGTH: usize = 1000;

/// A parsed permission query. Chains are flat (`a AND b AND c` is one node), so dropping or evaluating one never recurses deeper than
/// its parentheses do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// The key must carry exactly this permission.
    Permission(Box<str>),
    /// All must hold; two or more.
    All(Vec<Self>),
    /// One must hold; two or more.
    Any(Vec<Self>),
}

/// Where and why a query can't be read. Positions are 0-based byte offsets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The query ends where a permission or `(` is due.
    #[error("unexpected end of the query at position {0}")]
    UnexpectedEnd(usize),
    /// Something stands where it can't.
    #[error("unexpected token '{token}' at position {position}")]
    UnexpectedToken {
        /// What stands there.
        token: String,
        /// Where it begins.
        position: usize,
    },
    /// A `(` without its `)`.
    #[error("missing closing parenthesis ')' at position {0}")]
    MissingParenthesis(usize),
    /// `()`; the position is that of the `)`.
    #[error("empty parentheses at position {0}")]
    EmptyParentheses(usize),
    /// Over 1,000 bytes.
    #[error("the query has {0} bytes, at most {MAX_LENGTH} are allowed")]
    TooLong(usize),
    /// What should be one permission is none.
    #[error("'{0}' is not one permission; write letters, digits and . _ - * : / only")]
    NotOnePermission(String),
    /// `AND` or `OR` of nothing.
    #[error("a part of the query lists no permission")]
    EmptyList,
}

impl Query {
    /// Parses a query. Cost: linear in its length, at most 1,000 bytes.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        if text.len() > MAX_LENGTH {
            return Err(QueryError::TooLong(text.len()));
        }
        let mut parser = Parser { text, position: 0 };
        let query = parser.any()?;
        match parser.peek() {
            Token::End => Ok(query),
            token => Err(parser.unexpected(token)),
        }
    }

    /// The query for exactly this permission, of a wire that has its own form for AND and OR; there even `and` is a permission.
    ///
    /// # Errors
    /// A text that [`Self::parse`] would not read as one permission or word: it could match no key, so it is a mistake.
    pub fn permission(text: &str) -> Result<Self, QueryError> {
        if text.is_empty() || !text.chars().all(is_permission) {
            return Err(QueryError::NotOnePermission(text.chars().take(64).collect()));
        }
        Ok(Self::Permission(text.into()))
    }

    /// All of these must hold.
    ///
    /// # Errors
    /// An empty list: whether it holds would be anybody's guess.
    pub fn all(parts: Vec<Self>) -> Result<Self, QueryError> {
        if parts.is_empty() { Err(QueryError::EmptyList) } else { Ok(one_or(parts, Self::All)) }
    }

    /// One of these must hold.
    ///
    /// # Errors
    /// An empty list.
    pub fn any(parts: Vec<Self>) -> Result<Self, QueryError> {
        if parts.is_empty() { Err(QueryError::EmptyList) } else { Ok(one_or(parts, Self::Any)) }
    }

    /// Whether the query holds for a key of which `has` says what permissions it carries. Stops at the first part that decides.
    pub fn holds(&self, has: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Permission(permission) => has(permission),
            Self::All(parts) => parts.iter().all(|part| part.holds(has)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(has)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    And(&'a str),
    Or(&'a str),
    Open,
    Close,
    Permission(&'a str),
    Other(char),
    End,
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Parser<'a> {
    /// The next token; white space before it is passed over, the token itself is not.
    fn peek(&mut self) -> Token<'a> {
        let is_space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
        let rest = self.text[self.position..].trim_start_matches(is_space);
        self.position = self.text.len() - rest.len();
        match rest.chars().next() {
            None => Token::End,
            Some('(') => Token::Open,
            Some(')') => Token::Close,
            Some(c) if is_permission(c) => {
                let word = &rest[..rest.find(|c| !is_permission(c)).unwrap_or(rest.len())];
                if word.eq_ignore_ascii_case("and") {
                    Token::And(word)
                } else if word.eq_ignore_ascii_case("or") {
                    Token::Or(word)
                } else {
                    Token::Permission(word)
                }
            }
            Some(other) => Token::Other(other),
        }
    }

    fn skip(&mut self, token: Token<'_>) {
        self.position += match token {
            Token::And(word) | Token::Or(word) | Token::Permission(word) => word.len(),
            Token::Open | Token::Close => 1,
            Token::Other(c) => c.len_utf8(),
            Token::End => 0,
        };
    }

    fn unexpected(&self, token: Token<'_>) -> QueryError {
        let token = match token {
            Token::End => return QueryError::UnexpectedEnd(self.position),
            Token::And(word) | Token::Or(word) | Token::Permission(word) => word.to_owned(),
            Token::Open => "(".to_owned(),
            Token::Close => ")".to_owned(),
            Token::Other(c) => c.to_string(),
        };
        QueryError::UnexpectedToken { token, position: self.position }
    }

    fn any(&mut self) -> Result<Query, QueryError> {
        let mut parts = vec![self.all()?];
        while let token @ Token::Or(_) = self.peek() {
            self.skip(token);
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Query::Any))
    }

    fn all(&mut self) -> Result<Query, QueryError> {
        let mut parts = vec![self.primary()?];
        while let token @ Token::And(_) = self.peek() {
            self.skip(token);
            parts.push(self.primary()?);
        }
        Ok(one_or(parts, Query::All))
    }

    fn primary(&mut self) -> Result<Query, QueryError> {
        let token = self.peek();
        match token {
            Token::Permission(word) => {
                self.skip(token);
                Ok(Query::Permission(word.into()))
            }
            Token::Open => {
                self.skip(token);
                if self.peek() == Token::Close {
                    return Err(QueryError::EmptyParentheses(self.position));
                }
                let inner = self.any()?;
                match self.peek() {
                    Token::Close => self.skip(Token::Close),
                    Token::End => return Err(QueryError::MissingParenthesis(self.position)),
                    other => return Err(self.unexpected(other)),
                }
                Ok(inner)
            }
            other => Err(self.unexpected(other)),
        }
    }
}

/// What permissions are made of.
const fn is_permission(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '*' | ':' | '/')
}

/// The only part as it is, several as one node.
fn one_or(mut parts: Vec<Query>, node: fn(Vec<Query>) -> Query) -> Query {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            node(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn holds(query: &str, granted: &[&str]) -> bool {
        Query::parse(query).unwrap().holds(&|p| granted.contains(&p))
    }

    #[test]
    fn and_binds_tighter_than_or() {
        assert!(holds("a OR b AND c", &["a"]));
        assert!(!holds("(a OR b) AND c", &["a"]));
        assert!(holds("a and b Or c", &["c"]));
        assert!(holds("andrew AND order", &["andrew", "order"]), "AND and OR only as complete words");
    }

    #[test]
    fn a_star_is_an_ordinary_character() {
        assert!(!holds("api.read", &["api.*"]));
        assert!(holds("api.*", &["api.*"]));
        assert!(!holds("API.read", &["api.read"]), "letter case counts");
    }

    #[test]
    fn a_query_built_from_parts_is_the_parsed_one() {
        let one = |text| Query::permission(text).unwrap();
        let built = Query::all(vec![one("a"), Query::any(vec![one("b.*"), one("c")]).unwrap()]).unwrap();
        assert_eq!(built, Query::parse("a AND (b.* OR c)").unwrap());
        assert_eq!(Query::any(vec![one("a")]), Ok(one("a")));
        assert!(one("and").holds(&|permission| permission == "and"), "a word like any other");
        assert_eq!((Query::all(vec![]), Query::any(vec![])), (Err(QueryError::EmptyList), Err(QueryError::EmptyList)));
        for text in ["", "a b", "a AND b", "(a)", "ä"] {
            assert_eq!(Query::permission(text), Err(QueryError::NotOnePermission(text.into())), "{text}");
        }
    }

    #[test]
    fn errors_say_what_and_where() {
        let unexpected = |token: &str, position| QueryError::UnexpectedToken { token: token.into(), position };
        for (query, error) in [
            ("", QueryError::UnexpectedEnd(0)),
            ("  ", QueryError::UnexpectedEnd(2)),
            ("a AND", QueryError::UnexpectedEnd(5)),
            ("(permission_1 AND permission_2", QueryError::MissingParenthesis(30)),
            ("permission_1 AND ()", QueryError::EmptyParentheses(18)),
            ("AND permission_1", unexpected("AND", 0)),
            ("a b", unexpected("b", 2)),
            ("a OR or b", unexpected("or", 5)),
            ("a)", unexpected(")", 1)),
            ("(a b)", unexpected("b", 3)),
            ("a AND naïve", unexpected("ï", 8)),
            ("a, b", unexpected(",", 1)),
        ] {
            assert_eq!(Query::parse(query), Err(error), "{query}");
        }
        assert_eq!(Query::parse(&"a".repeat(1001)), Err(QueryError::TooLong(1001)));
    }

    #[test]
    fn the_deepest_query_is_read() {
        let depth = (MAX_LENGTH - 1) / 2;
        let query = format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(Query::parse(&query), Ok(Query::Permission("a".into())));
    }

    /// A query, its text, and what a slow reading of the tree says: the oracle.
    #[derive(Clone, Debug)]
    enum Tree {
        Leaf(u8),
        And(Box<Tree>, Box<Tree>),
        Or(Box<Tree>, Box<Tree>),
    }

    impl Tree {
        fn text(&self) -> String {
            match self {
                Self::Leaf(n) => format!("p.{n}"),
                Self::And(a, b) => format!("({} AND {})", a.text(), b.text()),
                Self::Or(a, b) => format!("({} or {})", a.text(), b.text()),
            }
        }

        fn holds(&self, granted: u8) -> bool {
            match self {
                Self::Leaf(n) => granted >> n & 1 == 1,
                Self::And(a, b) => a.holds(granted) && b.holds(granted),
                Self::Or(a, b) => a.holds(granted) || b.holds(granted),
            }
        }
    }

    fn tree() -> impl Strategy<Value = Tree> {
        (0..8_u8).prop_map(Tree::Leaf).prop_recursive(5, 24, 2, |inner| {
            (inner.clone(), inner, any::<bool>()).prop_map(|(a, b, and)| {
                let (a, b) = (Box::new(a), Box::new(b));
                if and { Tree::And(a, b) } else { Tree::Or(a, b) }
            })
        })
    }

    proptest! {
        #[test]
        fn agrees_with_the_oracle(tree in tree(), granted: u8) {
            let has = |p: &str| granted >> p[2..].parse::<u8>().unwrap() & 1 == 1;
            prop_assert_eq!(Query::parse(&tree.text()).unwrap().holds(&has), tree.holds(granted));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[ab() ANDORandor.é*\\t]{0,60}|.{0,60}") {
            let _ = Query::parse(&text);
        }
    }
}
