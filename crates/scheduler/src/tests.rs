//! Scenes with a handful of workers, and random runs with everything that can go wrong, each checked after every input.

mod accepted;
mod asked_back;
mod audit;
mod counted;
mod divided;
mod doubled;
mod elastic;
mod explained;
mod fitness;
mod grown;
mod kept;
mod random;
mod record;
mod rules;
mod scenes;
mod served;
mod views;
mod world;
