import { valueLaws } from "../../laws/index.js"
import { store } from "./support.js"

valueLaws(store)
