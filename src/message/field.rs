//! The names of fields that somebody here looks for, as numbers.

use http::HeaderName;

macro_rules! fields {
    ($($length:literal { $($name:ident $text:literal,)* })*) => {
        /// A field's name (RFC 9110 §5.1); those that nobody looks for are all `Other`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Field {
            $($($name,)*)*
            Other,
        }

        impl Field {
            #[cfg(test)]
            const ALL: &[(usize, Self, &[u8])] = &[$($(($length, Self::$name, $text),)*)*];

            /// Of a name in lower case.
            #[inline]
            pub fn of(name: &[u8]) -> Self {
                // By length first: most names are told from all others by it.
                match name.len() {
                    $($length => match name {
                        $($text => Self::$name,)*
                        _ => Self::Other,
                    },)*
                    _ => Self::Other,
                }
            }

            /// In lower case; empty for `Other`.
            pub const fn text(self) -> &'static str {
                match self {
                    $($(Self::$name => const { text($text) },)*)*
                    Self::Other => "",
                }
            }
        }
    };
}

const fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => "",
    }
}

fields! {
    2 { Te b"te", }
    3 { Via b"via", }
    4 { Date b"date", Etag b"etag", Host b"host", Link b"link", }
    5 { Allow b"allow", }
    6 { Accept b"accept", Cookie b"cookie", Expect b"expect", }
    7 { AltSvc b"alt-svc", Trailer b"trailer", Upgrade b"upgrade", }
    8 { Location b"location", }
    9 { Forwarded b"forwarded", XRealIp b"x-real-ip", }
    10 {
        Connection b"connection", KeepAlive b"keep-alive", SetCookie b"set-cookie",
        Tracestate b"tracestate", UserAgent b"user-agent",
    }
    11 { RetryAfter b"retry-after", Traceparent b"traceparent", XClientIp b"x-client-ip", }
    12 { ContentType b"content-type", ProxyStatus b"proxy-status", }
    13 {
        Authorization b"authorization", CacheControl b"cache-control",
        ContentRange b"content-range", DomicileBody b"domicile-body", LastModified b"last-modified",
        XHttpMethod b"x-http-method", XRewriteUrl b"x-rewrite-url",
    }
    14 {
        ContentLength b"content-length", Http2Settings b"http2-settings",
        TrueClientIp b"true-client-ip", XOriginalUrl b"x-original-url",
    }
    15 {
        AcceptEncoding b"accept-encoding", DomicileRegion b"domicile-region",
        XForwardedFor b"x-forwarded-for",
    }
    16 {
        CfConnectingIp b"cf-connecting-ip", ContentEncoding b"content-encoding",
        ContentLocation b"content-location",
        FastlyClientIp b"fastly-client-ip", ProxyConnection b"proxy-connection",
        WwwAuthenticate b"www-authenticate", XForwardedHost b"x-forwarded-host",
    }
    17 {
        DomicileDecision b"domicile-decision", DomicileStripped b"domicile-stripped",
        TransferEncoding b"transfer-encoding", XForwardedProto b"x-forwarded-proto",
        XMethodOverride b"x-method-override",
    }
    18 {
        DomicileMechanism b"domicile-mechanism", DomicileRecipient b"domicile-recipient",
        ProxyAuthenticate b"proxy-authenticate",
    }
    19 { ProxyAuthorization b"proxy-authorization", XClusterClientIp b"x-cluster-client-ip", }
    21 { DomicileRetainUntil b"domicile-retain-until", }
    22 { XHttpMethodOverride b"x-http-method-override", }
    23 { XForwardedClientCert b"x-forwarded-client-cert", }
    25 { StrictTransportSecurity b"strict-transport-security", }
}

impl Field {
    /// Fields whose values say nothing of anybody, and are mostly the same.
    pub const COMMON: FieldSet = FieldSet::of(&[
        Self::Accept,
        Self::AcceptEncoding,
        Self::CacheControl,
        Self::ContentEncoding,
        Self::ContentType,
        Self::Date,
        Self::DomicileRegion,
        Self::Te,
        Self::Trailer,
        Self::UserAgent,
        Self::Via,
    ]);

    const fn bit(self) -> u64 {
        1 << (self as u8)
    }
}

/// A set of names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(u64);

impl FieldSet {
    pub const fn of(mut fields: &[Field]) -> Self {
        let mut set = 0;
        while let [first, rest @ ..] = fields {
            set |= first.bit();
            fields = rest;
        }
        Self(set)
    }

    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    pub const fn contains(self, field: Field) -> bool {
        self.0 & field.bit() != 0
    }

    pub const fn has_any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    pub const fn insert(&mut self, field: Field) {
        self.0 |= field.bit();
    }

    pub const fn without(self, field: Field) -> Self {
        Self(self.0 & !field.bit())
    }
}

/// What names are among the lines of a head; where it says no, that is certain.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names {
    known: FieldSet,
    /// A bit for some of the names that are [`Field::Other`]: by length and last byte, in which
    /// names that share a beginning differ. The highest two are for any that has an underscore, and
    /// any that begins as the router's own do.
    others: u64,
}

const UNDERSCORED: u64 = 1 << 63;
const OWN: u64 = 1 << 62;
/// Bits that say more than that two names may be one.
const MARKS: u64 = UNDERSCORED | OWN;
/// How the router's own fields begin: no caller's and no region's word for them passes.
pub const OWN_PREFIX: &[u8] = b"domicile-";

/// Where proxies of some make leave the caller's address, or its certificate's names.
pub const CLIENT_ADDRESS: FieldSet = FieldSet::of(&[
    Field::XRealIp,
    Field::XClientIp,
    Field::XClusterClientIp,
    Field::TrueClientIp,
    Field::CfConnectingIp,
    Field::FastlyClientIp,
    Field::XForwardedClientCert,
]);

impl Names {
    pub fn insert(&mut self, key: impl Key) {
        self.insert_as(key.field(), key.text().as_bytes());
    }

    /// A name in any spelling that has `_` for a `-` of it, or the other way round.
    pub fn insert_spellings(&mut self, name: &str) {
        // Length and last byte are what bits are made of.
        for (one, other) in [("-", "_"), ("_", "-")] {
            let name = name.replace(one, other);
            self.insert_as(Field::of(name.as_bytes()), name.as_bytes());
            self.others |= Self::bit(name.as_bytes());
        }
    }

    /// Whether one name may be in both: false is certain.
    pub const fn may_meet(self, others: Self) -> bool {
        // That both have unknown names is what the bits are for.
        let known = self.known.without(Field::Other);
        known.has_any(others.known) || self.others & others.others & !MARKS != 0
    }

    #[inline]
    pub(super) fn insert_as(&mut self, field: Field, name: &[u8]) {
        self.known.insert(field);
        if field == Field::Other {
            self.others |= Self::bit(name);
            if name.contains(&b'_') {
                self.others |= UNDERSCORED;
            }
            if name.starts_with(b"domicile") {
                self.others |= OWN;
            }
        }
    }

    pub(super) const fn insert_all(&mut self, others: Self) {
        self.known = self.known.and(others.known);
        self.others |= others.others;
    }

    /// Whether a name has an underscore; none of those that are known has.
    pub(super) const fn are_underscored(self) -> bool {
        self.others & UNDERSCORED != 0
    }

    /// Whether a name that nobody looks for begins as the router's own do.
    pub(super) const fn have_strange_own(self) -> bool {
        self.others & OWN != 0
    }

    #[inline]
    pub(super) fn may_have(self, field: Field, name: &[u8]) -> bool {
        match field {
            Field::Other => self.others & Self::bit(name) != 0,
            field => self.known.contains(field),
        }
    }

    pub(super) const fn known(self) -> FieldSet {
        self.known
    }

    #[inline]
    fn bit(name: &[u8]) -> u64 {
        let last = name.last().copied().unwrap_or_default();
        1 << ((name.len() + usize::from(last) * 5) % 62)
    }
}

/// What a field is looked up by. Names that are known when the program is built are cheapest as a
/// [`Field`].
pub trait Key {
    fn field(&self) -> Field;

    /// In lower case.
    fn text(&self) -> &str;
}

impl Key for Field {
    fn field(&self) -> Field {
        *self
    }

    fn text(&self) -> &str {
        (*self).text()
    }
}

impl Key for str {
    fn field(&self) -> Field {
        Field::of(self.as_bytes())
    }

    fn text(&self) -> &str {
        self
    }
}

impl Key for HeaderName {
    fn field(&self) -> Field {
        Field::of(self.as_str().as_bytes())
    }

    fn text(&self) -> &str {
        self.as_str()
    }
}

impl<K: Key + ?Sized> Key for &K {
    fn field(&self) -> Field {
        (**self).field()
    }

    fn text(&self) -> &str {
        (**self).text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_at_its_length() {
        for (length, field, text) in Field::ALL {
            assert_eq!(text.len(), *length, "{field:?}");
            assert_eq!(Field::of(text), *field);
            assert_eq!(field.text().as_bytes(), *text);
            assert_eq!(text.to_ascii_lowercase(), *text);
            // Which spares looking for it.
            assert!(!text.contains(&b'_'), "{field:?}");
        }
        assert!(Field::ALL.len() < 63, "the set has 64 places");
        assert_eq!(Field::of(b"x-other"), Field::Other);
        assert_eq!(Field::of(b""), Field::Other);
    }

    #[test]
    fn names_that_were_put_in_are_never_denied_and_most_others_are() {
        let mut names = Names::default();
        let inside = ["a", "x-one", "x-two", "accept-language", "domicile-purpose"];
        for name in inside {
            names.insert(name);
        }
        for name in inside {
            assert!(names.may_have(Field::Other, name.as_bytes()), "{name}");
        }
        let outside = ["domicile-target", "domicile-country", "x-three", "b", ""];
        let denied = |n: &&&str| !names.may_have(Field::Other, n.as_bytes());
        assert!(outside.iter().filter(denied).count() >= 3);
        assert!(!names.may_have(Field::Host, b"host"));
        let mut wanted = Names::default();
        wanted.insert("domicile-target");
        wanted.insert("host");
        assert!(!names.may_meet(wanted) && !wanted.may_meet(names));
        wanted.insert("x-two");
        assert!(names.may_meet(wanted) && wanted.may_meet(names));
        names.insert(Field::Host);
        assert!(names.may_have(Field::Host, b"host"));
        assert!(names.known().contains(Field::Host));
        assert!(!names.are_underscored());
        let mut others = names;
        others.insert("x_two");
        names.insert_all(others);
        assert!(names.are_underscored());
        // The mark of the router's own is no name that two have in common.
        let (mut one, mut other) = (Names::default(), Names::default());
        one.insert("domicile-target");
        other.insert("domicile-country");
        assert!(one.have_strange_own() && !one.may_meet(other));
        other = Names::default();
        other.insert("x-target");
        other.insert(Field::DomicileRegion);
        assert!(!other.have_strange_own());
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = FieldSet::of(&[Field::Host, Field::Other]);
        assert!(set.contains(Field::Host) && set.contains(Field::Other));
        assert!(!set.contains(Field::Te));
        set.insert(Field::Te);
        assert!(set.has_any(FieldSet::of(&[Field::Te, Field::Via])));
        assert!(!set.has_any(FieldSet::of(&[Field::Via])));
    }
}
