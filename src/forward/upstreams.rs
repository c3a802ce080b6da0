use std::{rc::Rc, sync::Arc};

use http::Response;

use super::{
    AnswerBody, Endpoint, EndpointError, ForwardError, Outgoing, RegionTally, SharedHealth, Shares,
    gate::Gate, region::RegionLink,
};
use crate::{
    attest::Cleared,
    domain::{RegionId, Regions},
    settings::{Limits, RegionSettings},
};

/// One worker's way to every region of one snapshot.
///
/// A [`RegionId`] means something only within its snapshot, so an `Upstreams` must be used with
/// permits of the snapshot it was built from; keep the two in one place.
pub struct Upstreams {
    /// By [`RegionId`].
    regions: Vec<Rc<RegionLink>>,
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
    ) -> Result<Self, SetupError> {
        Self::build(regions, settings, limits, shares, health, &[])
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
    ) -> Result<Self, SetupError> {
        Self::build(
            regions,
            settings,
            limits,
            self.shares,
            health,
            &self.regions,
        )
    }

    /// Calls the one region that the permits name, and no other.
    ///
    /// The answer's head is back when this returns; its body arrives as it is read. Must run
    /// inside a `LocalSet`. Cancel safe: dropping it closes the connection in use, so the region
    /// sees a broken request or none; what it had already taken may have had its effect.
    ///
    /// # Errors
    /// `NotCleared` for no permit or permits of several regions, else what went wrong with the
    /// region; [`ForwardError::sent`] tells whether it may have got some of the request.
    pub async fn send<'a>(
        &self,
        cleared: impl IntoIterator<Item = &'a Cleared>,
        outgoing: Outgoing,
    ) -> Result<Response<AnswerBody>, ForwardError> {
        let id = only_region(cleared)?;
        let region = self
            .regions
            .get(usize::from(id.0))
            .ok_or(ForwardError::UnknownRegion(id))?;
        region.send(outgoing).await
    }

    /// Counts of each region, to be read by metrics from any thread.
    pub fn tallies(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<RegionTally>)> {
        self.regions.iter().map(|r| (&r.name, &r.tally))
    }

    pub fn health(&self) -> &Arc<SharedHealth> {
        &self.health
    }

    pub(super) fn given_up(&self, cleared: &Cleared) -> ForwardError {
        let id = cleared.permit().region();
        match self.regions.get(usize::from(id.0)) {
            Some(region) => ForwardError::GivenUp {
                region: Arc::clone(&region.name),
            },
            None => ForwardError::UnknownRegion(id),
        }
    }

    fn build(
        regions: &Regions,
        settings: &[RegionSettings],
        limits: &Limits,
        shares: Shares,
        health: Arc<SharedHealth>,
        known: &[Rc<RegionLink>],
    ) -> Result<Self, SetupError> {
        let regions = regions.iter().map(|(_, region)| {
            let settings = settings
                .iter()
                .find(|s| s.name == region.name)
                .ok_or_else(|| SetupError::NoSettings(Arc::clone(&region.name)))?;
            match known.iter().find(|old| is_same(old, settings, limits)) {
                Some(old) => Ok(Rc::clone(old)),
                None => Ok(Rc::new(link(settings, limits, shares, &health)?)),
            }
        });
        Ok(Self {
            regions: regions.collect::<Result<_, _>>()?,
            health,
            shares,
        })
    }
}

fn only_region<'a>(
    cleared: impl IntoIterator<Item = &'a Cleared>,
) -> Result<RegionId, ForwardError> {
    let mut regions = cleared.into_iter().map(|c| c.permit().region());
    let first = regions.next().ok_or(ForwardError::NotCleared)?;
    if regions.all(|r| r == first) {
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
    // A caller that waits for a seat is like one that waits for a connection.
    let gate = Gate::new(shares, limits.connect);
    Ok(RegionLink::new(settings, servers, limits, gate))
}

fn is_same(old: &RegionLink, settings: &RegionSettings, limits: &Limits) -> bool {
    old.limits == *limits
        && old.settings.name == settings.name
        && old.settings.place == settings.place
        && old.settings.entity == settings.entity
        && old.settings.endpoints == settings.endpoints
}
