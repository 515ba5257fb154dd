//! Applies a plan to the loop: all of it, or nothing, apart from an address that cannot be bound
//! again. At start the loop has no routes; a reload is the same with others.
//!
//! Everything that can fail comes first: new addresses are bound and registered beside the open
//! ones. Then the routes are exchanged within the turn. Only an address with a changed option that
//! cannot be set on an open socket is closed and bound again.

use std::collections::{HashMap, HashSet};
use std::io;

use crate::config::diff::is_same_socket;
use crate::config::overlap::{self, Common};
use crate::config::{self, Address, Change, Listen, Plan};
use crate::core::event::PauseCause;
use crate::core::{Event, Key, Timeouts, Turn};
use crate::net::CannotListen;
use crate::net::bind::ListenNames;
use crate::net::bound_datagram::{BoundDatagram, bind_known_datagram};
use crate::net::listener::Listener;
use crate::net::self_connect::{BoundAddr, reaches};

pub use super::cannot_apply::CannotApply;
use super::cut_plan::RoutesByName;
use super::listeners::ListenerSlot;
use super::reactor::Reactor;
use super::reload::ReloadSummary;
use super::routes::{Route, targets, timeouts};

/// Maximum number of retired routes that are checked when something was closed.
const RETIRED_BUDGET: usize = 64;

/// What is done for a route of the plan.
enum Step {
    /// The route with this index stays as it is.
    Keep(u16),
    Change(u16),
    /// A new route takes over the sockets of this one.
    HandOver(u16),
    /// A new route has these sockets.
    Open(Vec<Bound>),
    /// The sockets of the new route with this index are open.
    Opened(u16),
    /// The sockets of this route are closed, and bound again with other options.
    Rebind(u16),
    /// That was done: the new route has its sockets.
    Rebound {
        old: u16,
        index: u16,
        /// An operator had paused it.
        is_paused: bool,
    },
}

/// A bound socket, stream or datagram.
enum Bound {
    Stream(Listener),
    Datagram(BoundDatagram),
}

impl Reactor {
    /// Replaces the routes and settings of the loop by those of `plan`, or changes nothing. What
    /// can be known without the system, `config::check` has checked; `names` has the addresses of
    /// its host names.
    ///
    /// Connections stay open. Those of a route that has changed get its new timeouts; those of a
    /// route that was removed, or that has another service now, go on as they were opened, unless
    /// the policy says otherwise.
    pub fn apply(
        &mut self,
        plan: &Plan,
        names: &ListenNames,
        turn: &mut Turn<'_>,
    ) -> Result<ReloadSummary, CannotApply> {
        if self.drain.is_started() {
            return Err(CannotApply::Stopping);
        }
        self.free_some_routes(usize::MAX);
        let capacity = self.capacity.next(plan)?;
        let diff = self.routes.diff(&plan.routes);
        let mut summary = ReloadSummary::of(&diff);
        let by_name = plan.routes.iter().map(|route| (route.name.as_str(), route)).collect();
        let cuts = self.plan_cuts(&diff, &by_name, turn.now)?;
        let steps = self.prepare(&diff.routes, plan, names)?;
        let steps = self.open(steps, plan, names, &mut summary.warnings, turn)?;
        // From here on nothing fails.
        let removed: Vec<u16> = diff.removed.iter().map(|at| self.routes.planned(*at)).collect();
        let mut planned = Vec::with_capacity(steps.len());
        for (step, config) in steps.into_iter().zip(&plan.routes) {
            planned.push(self.take_step(step, config, &mut summary.warnings, turn));
        }
        for index in removed {
            self.retire(index);
        }
        self.routes.set_planned(planned);
        self.update_retired(&by_name);
        cuts.into_iter().for_each(|(route, cut)| self.cuts.set(route, cut));
        self.update_loop_detection();
        self.free_routes();
        self.engine.reserve(capacity.max_connections);
        self.capacity = capacity;
        self.drain.set_times(plan);
        self.event_loop.busy_poll = plan.busy_poll;
        Ok(summary)
    }

    /// Gives the connections of retired routes the timeouts of the new route with their name.
    fn update_retired(&mut self, new: &RoutesByName<'_>) {
        for index in self.routes.retired() {
            if let Some(route) = new.get(self.routes[index].name()) {
                self.engine.set_timeouts(index, timeouts(&route.policy));
            }
        }
    }

    /// Decides what is done for each route, and binds the new addresses. On error they are
    /// released.
    fn prepare(
        &mut self,
        changes: &[Change],
        plan: &Plan,
        names: &ListenNames,
    ) -> Result<Vec<Step>, CannotApply> {
        let mut steps: Vec<Step> = Vec::with_capacity(changes.len());
        for (change, config) in changes.iter().zip(&plan.routes) {
            let step = match change {
                Change::Unchanged(at) => Step::Keep(self.routes.planned(*at)),
                Change::Changed(at) => Step::Change(self.routes.planned(*at)),
                Change::Replaced(at) => Step::HandOver(self.routes.planned(*at)),
                // Its flows would lose the socket through which they answer.
                Change::Rebound(_) if config.listen.address.is_datagram() => {
                    return Err(CannotApply::Rebound { listen: config.listen.to_string() });
                }
                Change::Rebound(at) => Step::Rebind(self.routes.planned(*at)),
                Change::Added => match self.closing(config, &steps) {
                    Some(old) => Step::HandOver(old),
                    None => {
                        let bound = bind(config, names);
                        Step::Open(
                            bound.map_err(|error| self.name_own_holder(&config.listen, error))?,
                        )
                    }
                },
            };
            if let Step::Change(index) | Step::HandOver(index) = step {
                let keys = &self.routes[index].listeners;
                for at in keys.iter().filter_map(|key| self.bound_at(*key)) {
                    refuse_self_connect(at, config)?;
                }
            }
            steps.push(step);
        }
        self.refuse_blocked_rebinds(&steps, plan)?;
        let is_new =
            |step: &&Step| matches!(step, Step::Open(_) | Step::HandOver(_) | Step::Rebind(_));
        let new = steps.iter().filter(is_new);
        match new.count() <= self.routes.capacity_left() {
            true => Ok(steps),
            false => Err(CannotApply::TooManyRoutes),
        }
    }

    /// Names the route of the loop that has an address which is in use.
    fn name_own_holder(&self, listen: &Listen, error: CannotApply) -> CannotApply {
        let is_in_use = matches!(&error, CannotApply::Listen(CannotListen { error, .. })
            if error.kind() == io::ErrorKind::AddrInUse);
        let mut routes = self.open_routes();
        let has_it = |route: &Route| overlap::may_exclude(&route.config.listen, listen);
        match routes.find(|(_, route)| is_in_use && has_it(route)) {
            Some((index, route)) => self.own_address(listen, index, route),
            None => error,
        }
    }

    /// The routes that have open sockets, with their indices.
    fn open_routes(&self) -> impl Iterator<Item = (u16, &Route)> {
        self.routes.iter().filter(|(index, route)| {
            route.listeners.iter().any(|key| self.route_of(*key) == Some(*index))
        })
    }

    fn own_address(&self, listen: &Listen, index: u16, route: &Route) -> CannotApply {
        CannotApply::OwnAddress {
            listen: listen.address.to_string(),
            route: route.name().to_owned(),
            own: route.config.listen.address.to_string(),
            is_closing: self.routes.is_retired(index),
        }
    }

    /// Fails if a socket that stays open while others are bound again keeps one of them from it:
    /// nothing is closed for nothing.
    fn refuse_blocked_rebinds(&self, steps: &[Step], plan: &Plan) -> Result<(), CannotApply> {
        let rebinds = steps.iter().zip(&plan.routes).filter_map(|(step, config)| match step {
            Step::Rebind(old) => Some((*old, &config.listen)),
            _ => None,
        });
        let (closed, new): (HashSet<u16>, Vec<&Listen>) = rebinds.unzip();
        if new.is_empty() {
            return Ok(());
        }
        let mut staying: HashMap<Common<'_>, Vec<(u16, &Route)>> = HashMap::new();
        for (index, route) in self.open_routes().filter(|(index, _)| !closed.contains(index)) {
            staying.entry(Common::of(&route.config.listen)).or_default().push((index, route));
        }
        for listen in new {
            let mut near = staying.get(&Common::of(listen)).into_iter().flatten();
            let is_blocked =
                near.find(|(_, route)| overlap::excludes(&route.config.listen, listen));
            if let Some((index, route)) = is_blocked {
                return Err(self.own_address(listen, *index, route));
            }
        }
        Ok(())
    }

    /// A retired route whose sockets are still open at the address of this one, and that no other
    /// step takes over.
    fn closing(&self, config: &config::Route, steps: &[Step]) -> Option<u16> {
        let is_free = |index: &u16| {
            let route = &self.routes[*index];
            let has_all = |key: &Key| self.route_of(*key) == Some(*index);
            let is_taken = |step: &Step| matches!(step, Step::HandOver(old) if old == index);
            is_same_socket(&route.config.listen, &config.listen)
                && route.listeners.iter().all(has_all)
                && !steps.iter().any(is_taken)
        };
        self.routes.retired().find(is_free)
    }

    /// Adds the new routes and registers their sockets. On error all of them are removed again.
    fn open(
        &mut self,
        steps: Vec<Step>,
        plan: &Plan,
        names: &ListenNames,
        warnings: &mut Vec<String>,
        turn: &mut Turn<'_>,
    ) -> Result<Vec<Step>, CannotApply> {
        let mut opened = Vec::new();
        let mut done = Vec::with_capacity(steps.len());
        for (step, config) in steps.into_iter().zip(&plan.routes) {
            done.push(match step {
                Step::Open(bound) => match self.open_route(bound, config, warnings) {
                    Ok(index) => {
                        opened.push(index);
                        Step::Opened(index)
                    }
                    Err(error) => {
                        self.undo(&opened);
                        return Err(error);
                    }
                },
                step => step,
            });
        }
        // These come last, when nothing else can fail: their addresses are free for a moment. All
        // are closed before one is bound, as one may be in the way of another.
        let old = done.iter().filter_map(|step| match step {
            Step::Rebind(old) => Some((*old, self.is_paused(*old))),
            _ => None,
        });
        let rebound: Vec<(u16, bool)> = old.collect();
        rebound.iter().for_each(|(old, _)| self.close_listeners(*old));
        for (step, config) in done.iter_mut().zip(&plan.routes) {
            let Step::Rebind(old) = *step else { continue };
            let is_paused = rebound.contains(&(old, true));
            let opening = bind(config, names);
            match opening.and_then(|bound| self.open_route(bound, config, warnings)) {
                Ok(index) => {
                    opened.push(index);
                    *step = Step::Rebound { old, index, is_paused };
                }
                Err(error) => {
                    self.undo(&opened);
                    return Err(self.restore(&rebound, names, error, turn));
                }
            }
        }
        Ok(done)
    }

    /// Adds a new route and registers its sockets. On error it is removed again.
    fn open_route(
        &mut self,
        bound: Vec<Bound>,
        config: &config::Route,
        warnings: &mut Vec<String>,
    ) -> Result<u16, CannotApply> {
        let own = bound.iter().filter_map(|bound| own(bound.at(), config)).collect();
        let index = self.routes.add(config.clone(), own);
        warnings.extend(bound.iter().filter_map(Bound::warning));
        match self.register_all(bound, index, config) {
            Ok(()) => Ok(index),
            Err(error) => {
                self.undo(&[index]);
                Err(error)
            }
        }
    }

    /// Registers the sockets of a route.
    fn register_all(
        &mut self,
        bound: Vec<Bound>,
        index: u16,
        config: &config::Route,
    ) -> Result<(), CannotApply> {
        for bound in bound {
            let address = bound.at().clone();
            let key = self.register(bound, index, config);
            let key = key.map_err(|error| CannotListen { address, error })?;
            self.routes[index].listeners.push(key);
        }
        Ok(())
    }

    /// Closes the stream listeners of a route. Connections in their accept queues are reset.
    fn close_listeners(&mut self, index: u16) {
        for key in std::mem::take(&mut self.routes[index].listeners) {
            self.listeners.close(key, self.event_loop.registry());
        }
    }

    /// Whether an operator has paused a listener of a route.
    fn is_paused(&self, index: u16) -> bool {
        let slots = self.routes[index].listeners.iter().filter_map(|key| self.listeners.get(*key));
        slots.into_iter().any(|slot| slot.paused() == Some(PauseCause::Operator))
    }

    /// Pauses the listeners of a route, as an operator had before they were bound again.
    fn pause(&mut self, index: u16, turn: &mut Turn<'_>) {
        let connections = self.engine.len();
        for key in self.routes[index].listeners.clone() {
            self.listeners.pause(key, connections, turn);
        }
    }

    /// Binds the addresses of these routes again, as they were, after `error`. The second value is
    /// whether an operator had paused the route.
    fn restore(
        &mut self,
        closed: &[(u16, bool)],
        names: &ListenNames,
        error: CannotApply,
        turn: &mut Turn<'_>,
    ) -> CannotApply {
        let mut lost = Vec::new();
        for (index, is_paused) in closed {
            let config = self.routes[*index].config.clone();
            let opening = bind(&config, names);
            match opening.and_then(|bound| self.register_all(bound, *index, &config)) {
                Ok(()) if *is_paused => self.pause(*index, turn),
                Ok(()) => {}
                Err(error) => lost.push(error.to_string()),
            }
        }
        let reset = closed.iter().map(|(index, _)| self.routes[*index].config.listen.to_string());
        let reset = reset.collect::<Vec<_>>().join(", ");
        let error = CannotApply::NotRebound { error: error.to_string(), reset, lost };
        self.update_loop_detection();
        error
    }

    /// Removes new routes and their sockets.
    fn undo(&mut self, opened: &[u16]) {
        for index in opened {
            for key in self.routes.remove(*index).listeners {
                self.listeners.close(key, self.event_loop.registry());
                self.datagrams.close_unused(key, self.event_loop.registry());
            }
        }
    }

    /// Takes the step of one route, and returns its index.
    fn take_step(
        &mut self,
        step: Step,
        config: &config::Route,
        warnings: &mut Vec<String>,
        turn: &mut Turn<'_>,
    ) -> u16 {
        let is_paused = matches!(step, Step::Rebound { is_paused: true, .. });
        let index = match step {
            Step::Keep(index) => return index,
            Step::Change(index) => {
                self.change(index, config);
                return index;
            }
            Step::HandOver(old) => self.hand_over(old, config),
            Step::Open(_) | Step::Rebind(_) => {
                unreachable!("its sockets were opened before the first step")
            }
            Step::Opened(index) => index,
            Step::Rebound { old, index, .. } => {
                self.routes.retire(old);
                index
            }
        };
        self.hubs.assign(index, &config.service);
        let is_datagram = config.listen.address.is_datagram();
        self.route_totals.assign(index, config.name.clone(), is_datagram);
        self.engine.set_timeouts(index, timeouts(&config.policy));
        let service = config.service.kind();
        for key in &self.routes[index].listeners {
            if let Some(at) = self.bound_at(*key) {
                turn.on(*key, &Event::Listening { address: &at.to_string(), service });
            }
            warnings.extend(self.datagrams.warning(*key, &config.service));
        }
        if is_paused {
            self.pause(index, turn);
        }
        index
    }

    /// Changes a route in place.
    fn change(&mut self, index: u16, config: &config::Route) {
        for key in &self.routes[index].listeners {
            self.listeners.set_backlog(*key, config.listen.options.backlog);
            self.datagrams.set_policy(*key, &config.policy);
        }
        self.engine.set_timeouts(index, timeouts(&config.policy));
        self.routes.change(index, config.clone());
    }

    /// Adds a route that takes over the sockets of another one, which is retired.
    fn hand_over(&mut self, old: u16, config: &config::Route) -> u16 {
        let own = self.routes[old].pool.own().to_vec();
        let keys = self.routes[old].listeners.clone();
        let index = self.routes.add(config.clone(), own);
        for key in &keys {
            self.listeners.set_backlog(*key, config.listen.options.backlog);
            self.listeners.set_route(*key, index);
            self.datagrams.set_route(*key, index, config);
        }
        self.routes[index].listeners = keys;
        if !self.routes.is_retired(old) {
            self.routes.retire(old);
        }
        index
    }

    /// Retires a route. Its sockets handle what they have received, and close.
    fn retire(&mut self, index: u16) {
        for key in &self.routes[index].listeners {
            self.listeners.close_when_empty(*key);
            self.datagrams.close_when_done(*key);
        }
        self.routes.retire(index);
    }

    /// Frees the retired routes that have no socket, no connection and no flow any more.
    pub(super) fn free_routes(&mut self) {
        self.free_some_routes(RETIRED_BUDGET);
    }

    fn free_some_routes(&mut self, budget: usize) {
        // The attempt of a connection that has just been closed is still to be removed.
        if !self.routes.has_retired() || self.engine.has_dials() {
            return;
        }
        let (engine, listeners, datagrams) = (&self.engine, &self.listeners, &self.datagrams);
        let freed = self.routes.free_unused(budget, |index, route| {
            let uses =
                |key: &Key| listeners.route(*key) == Some(index) || datagrams.uses(*key, index);
            engine.live(index) > 0 || route.listeners.iter().any(uses)
        });
        for index in freed {
            self.hubs.free(index);
            self.route_totals.free(index, self.engine.take_route_counts(index));
            self.engine.set_timeouts(index, Timeouts::default());
        }
    }

    /// Closes the closing listeners whose accept queue is empty.
    pub(super) fn close_empty_listeners(&mut self) {
        if self.listeners.close_empty(self.event_loop.registry()) {
            self.update_loop_detection();
            self.free_routes();
        }
    }

    /// Passes the open listeners to the dialer: a target may lead back to one of them.
    fn update_loop_detection(&mut self) {
        let routes = &self.routes;
        let listeners = self.listeners.iter();
        self.dialer.set_listeners(listeners.map(|(_, slot)| (slot.at(), routes.id(slot.route()))));
    }

    fn register(&mut self, bound: Bound, route: u16, config: &config::Route) -> io::Result<Key> {
        let registry = self.event_loop.registry();
        match bound {
            Bound::Stream(listener) => self.listeners.open(listener, route, registry),
            Bound::Datagram(bound) => self.datagrams.open(bound, route, config, registry),
        }
    }

    /// The bound address of an open socket.
    fn bound_at(&self, key: Key) -> Option<&Address> {
        let listener = self.listeners.get(key).map(ListenerSlot::at);
        listener.or_else(|| self.datagrams.at(key))
    }

    fn route_of(&self, key: Key) -> Option<u16> {
        self.listeners.route(key).or_else(|| self.datagrams.route(key))
    }
}

impl Bound {
    fn at(&self) -> &Address {
        match self {
            Bound::Stream(listener) => listener.at(),
            Bound::Datagram(bound) => &bound.address,
        }
    }

    fn warning(&self) -> Option<String> {
        match self {
            Bound::Stream(listener) => listener.warning().map(str::to_owned),
            Bound::Datagram(bound) => bound.warning.clone(),
        }
    }
}

/// Binds every address of a route.
fn bind(config: &config::Route, names: &ListenNames) -> Result<Vec<Bound>, CannotApply> {
    let bound: Vec<Bound> = match config.listen.address.is_datagram() {
        true => {
            let bound = bind_known_datagram(&config.listen, names)?;
            bound.into_iter().map(Bound::Datagram).collect()
        }
        false => {
            let bound = Listener::bind_known(&config.listen, names)?;
            bound.into_iter().map(Bound::Stream).collect()
        }
    };
    for socket in &bound {
        refuse_self_connect(socket.at(), config)?;
    }
    Ok(bound)
}

/// The bound address of a route, if it is an IP address.
fn own(at: &Address, config: &config::Route) -> Option<BoundAddr> {
    BoundAddr::new(at, config.listen.options.v6only)
}

/// Fails if a target is the bound address itself: each connection would open another one. Names are
/// checked after they are resolved.
fn refuse_self_connect(at: &Address, config: &config::Route) -> Result<(), CannotApply> {
    let listen = Listen { address: at.clone(), options: config.listen.options.clone() };
    match targets(&config.service).iter().find(|target| reaches(target, &listen)) {
        Some(target) => {
            let (listen, target) = (at.to_string(), target.to_string());
            Err(CannotApply::SelfConnect { listen, target })
        }
        None => Ok(()),
    }
}
