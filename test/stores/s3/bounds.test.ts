import { bounds } from "../../laws/bounds.js"
import { store } from "./support.js"

bounds(store)
