import { mount } from "svelte";
import "./app.css";
import App from "./App.svelte";
import { live } from "./lib/live.svelte";

const target = document.getElementById("app");
if (!target) throw new Error("the page has no place for the application");
live.start();
mount(App, { target });
