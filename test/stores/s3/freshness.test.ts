import { freshness } from "../../laws/freshness.js"
import { store } from "./support.js"

freshness(store)
