//! The suite that users run to find out which mechanism is fast on their machine: `ipcx bench`.
//!
//! | file | what is in it |
//! |---|---|
//! | `contenders` | the mechanisms and the floors, by the names that users give |
//! | `run` | the plan: which cases next to each other, and how the time is divided over them |
//! | `report` | tables and JSON |
//! | `picture` | the chart |

mod contenders;
mod picture;
mod report;
mod run;

pub use contenders::{Contender, CONTENDERS};
pub use report::Report;
pub use run::{run, Group, Request, Way};
