import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import "../shared/base.css";
import "./training.css";
import { App } from "./app.tsx";

render(<App />, document.getElementById("app")!);
