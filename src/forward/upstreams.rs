use std::{rc::Rc, sync::Arc};

use super::{
    AnswerBody, Endpoint, EndpointError, ForwardError, Outgoing, RegionTally, SharedHealth, Shares,
    gate::Gate, region::RegionLink,
};
use crate::{
    attest::Cleared,
    domain::{Destination, RecipientId, Regions},
    message::Response,
    settings::{Limits, RegionSettings},
    tls::{BackendSide, Live},
};

/// The TLS side of each region and recipient that has one, by its name.
pub type Secured = [(Arc<str>, Arc<Live<BackendSide>>)];

/// One worker's way to every region of one snapshot.
///
/// A [`RegionId`](crate::domain::RegionId) means something only within its snapshot, so an `Upstreams` must be used with
/// permits of the snapshot it was built from; keep the two in one place.
pub struct Upstreams {
    /// By [`RegionId`](crate::domain::RegionId).
    regions: Vec<Rc<RegionLink>>,
    /// The recipients that have endpoints. One is called like a region, but only with a permit
    /// that names it.
    recipients: Vec<(RecipientId, Rc<RegionLink>)>,
    health: Arc<SharedHealth>,
    shares: Shares,
}

/// Settings and regions that do not fit together. The settings' reader finds these first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    #[error("region `{0}` has no settings")]
    NoSettings(Arc<str>),
    #[error("region `{0}` has no endpoints")]
    NoEndpoints(Arc<str>),
    #[error("region `{region}`: {error}")]
    Endpoint {
        region: Arc<str>,
        error: EndpointError,
    },
}

impl Upstreams {
    /// Opens no connection yet.
    ///
    /// # Errors
    /// When a region lacks settings or a usable endpoint.
    pub fn new(
        regions: &Regions,
        settings: &[RegionSettings],
        limits: &Limits,
        shares: Shares,
        health: Arc<SharedHealth>,
        secured: &Secured,
    ) -> Result<Self, SetupError> {
        Self::build(regions, settings, limits, shares, health, secured, &[])
    }

    /// For the next snapshot: regions whose settings stay keep their connections and seats.
    ///
    /// # Errors
    /// As [`Upstreams::new`]; this one stays as it is.
    pub fn renewed(
        &self,
        regions: &Regions,
        settings: &[RegionSettings],
        limits: &Limits,
        health: Arc<SharedHealth>,
        secured: &Secured,
    ) -> Result<Self, SetupError> {
        Self::build(
            regions,
            settings,
            limits,
            self.shares,
            health,
            secured,
            &self.regions,
        )
    }

    /// Adds the recipients of the snapshot; those of `before` whose settings stay keep their
    /// connections and seats.
    ///
    /// # Errors
    /// When a recipient lacks a usable endpoint.
    pub fn with_recipients<'r>(
        mut self,
        recipients: impl IntoIterator<Item = (RecipientId, &'r RegionSettings)>,
        limits: &Limits,
        secured: &Secured,
        before: Option<&Self>,
    ) -> Result<Self, SetupError> {
        let known = before.map_or(&[][..], |b| &b.recipients);
        for (id, settings) in recipients {
            let mut known = known.iter();
            let old = known.find(|(_, o)| is_same(o, settings, limits, &self.health, secured));
            let link = match old {
                Some((_, old)) => Rc::clone(old),
                None => Rc::new(link(settings, limits, self.shares, &self.health, secured)?),
            };
            self.recipients.push((id, link));
        }
        Ok(self)
    }

    /// Calls the one region or recipient that the permits name, and no other.
    ///
    /// The answer's head is back when this returns; its body arrives as it is read. Must run
    /// where `spawn_local` does. Cancel safe: dropping it closes the connection in use, so the region
    /// sees a broken request or none; what it had already taken may have had its effect.
    ///
    /// # Errors
    /// `NotCleared` for no permit or permits of several regions, else what went wrong with the
    /// region; [`ForwardError::sent`] tells whether it may have got some of the request.
    pub async fn send<'a>(
        &self,
        cleared: impl IntoIterator<Item = &'a Cleared>,
        outgoing: &mut Outgoing<'_>,
    ) -> Result<Response<AnswerBody>, ForwardError> {
        self.way(cleared)?.send(outgoing).await
    }

    /// The way to the one region or recipient that the permits name.
    ///
    /// # Errors
    /// `NotCleared` for no permit or permits of several regions.
    pub fn way<'a>(
        &self,
        cleared: impl IntoIterator<Item = &'a Cleared>,
    ) -> Result<Way<'_>, ForwardError> {
        let to = only_destination(cleared)?;
        let link = self.link(to).ok_or(ForwardError::Unknown(to))?;
        Ok(Way(link))
    }

    /// Counts of each region, to be read by metrics from any thread.
    pub fn tallies(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<RegionTally>)> {
        let recipients = self.recipients.iter().map(|(_, link)| link);
        let all = self.regions.iter().chain(recipients);
        all.map(|r| (&r.name, &r.tally))
    }

    pub fn health(&self) -> &Arc<SharedHealth> {
        &self.health
    }

    pub(super) fn given_up(&self, cleared: &Cleared) -> ForwardError {
        let to = cleared.permit().destination();
        match self.link(to) {
            Some(region) => ForwardError::GivenUp {
                region: Arc::clone(&region.name),
            },
            None => ForwardError::Unknown(to),
        }
    }

    fn link(&self, to: Destination) -> Option<&Rc<RegionLink>> {
        match to {
            Destination::Region(id) => self.regions.get(usize::from(id.0)),
            Destination::Recipient(id) => {
                let found = self.recipients.iter().find(|(known, _)| *known == id);
                found.map(|(_, link)| link)
            }
        }
    }

    fn build(
        regions: &Regions,
        settings: &[RegionSettings],
        limits: &Limits,
        shares: Shares,
        health: Arc<SharedHealth>,
        secured: &Secured,
        known: &[Rc<RegionLink>],
    ) -> Result<Self, SetupError> {
        let regions = regions.iter().map(|(_, region)| {
            let settings = settings
                .iter()
                .find(|s| s.name == region.name)
                .ok_or_else(|| SetupError::NoSettings(Arc::clone(&region.name)))?;
            let mut known = known.iter();
            match known.find(|old| is_same(old, settings, limits, &health, secured)) {
                Some(old) => Ok(Rc::clone(old)),
                None => Ok(Rc::new(link(settings, limits, shares, &health, secured)?)),
            }
        });
        Ok(Self {
            regions: regions.collect::<Result<_, _>>()?,
            recipients: Vec::new(),
            health,
            shares,
        })
    }
}

/// A way that permits opened, for one request.
pub struct Way<'u>(&'u RegionLink);

impl<'u> Way<'u> {
    /// See [`Upstreams::send`].
    pub fn send<'a>(
        self,
        outgoing: &'u mut Outgoing<'a>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, ForwardError>> + use<'u, 'a> {
        self.0.send(outgoing)
    }
}

fn only_destination<'a>(
    cleared: impl IntoIterator<Item = &'a Cleared>,
) -> Result<Destination, ForwardError> {
    let mut all = cleared.into_iter().map(|c| c.permit().destination());
    let first = all.next().ok_or(ForwardError::NotCleared)?;
    if all.all(|to| to == first) {
        Ok(first)
    } else {
        Err(ForwardError::NotCleared)
    }
}

fn link(
    settings: &RegionSettings,
    limits: &Limits,
    shares: Shares,
    health: &SharedHealth,
    secured: &Secured,
) -> Result<RegionLink, SetupError> {
    if settings.endpoints.is_empty() {
        return Err(SetupError::NoEndpoints(Arc::clone(&settings.name)));
    }
    let servers = settings.endpoints.iter().map(|uri| {
        let endpoint = Endpoint::parse(uri).map_err(|error| SetupError::Endpoint {
            region: Arc::clone(&settings.name),
            error,
        })?;
        let health = health.endpoint(&settings.name, &endpoint);
        Ok((endpoint, health))
    });
    let servers = servers.collect::<Result<Vec<_>, _>>()?;
    let shares = settings.concurrent_requests.map_or(shares, Shares::exactly);
    // A caller that waits for a seat is like one that waits for a connection.
    let gate = Gate::new(shares, settings.queue_wait.unwrap_or(limits.connect));
    let secured = side(settings, secured);
    Ok(RegionLink::new(settings, servers, secured, limits, gate))
}

fn side(settings: &RegionSettings, secured: &Secured) -> Option<Arc<Live<BackendSide>>> {
    let found = secured.iter().find(|(name, _)| *name == settings.name);
    found.map(|(_, live)| Arc::clone(live))
}

fn is_same(
    old: &RegionLink,
    settings: &RegionSettings,
    limits: &Limits,
    health: &SharedHealth,
    secured: &Secured,
) -> bool {
    let same_side = match (&old.secured, side(settings, secured)) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, &new),
        (None, None) => true,
        _ => false,
    };
    same_side
        && old.is_known_by(health)
        && old.limits == *limits
        && old.settings.name == settings.name
        && old.settings.place == settings.place
        && old.settings.entity == settings.entity
        && old.settings.endpoints == settings.endpoints
        && old.settings.tls == settings.tls
        && old.settings.http == settings.http
        && old.settings.concurrent_requests == settings.concurrent_requests
        && old.settings.queue_wait == settings.queue_wait
}
