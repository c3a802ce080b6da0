//! What a platform engineer, an SRE and a data protection officer try first: commands, checks,
//! the admin listener, adopting a store that holds records already.

mod admin;
mod adopt;
pub mod commands;
mod console;
mod evidence;
mod promises;
