import { render } from "preact";
import "../shared/base.css";
import "./review.css";
import { App } from "./app.tsx";

render(<App />, document.getElementById("app")!);
