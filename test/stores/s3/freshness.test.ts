import { lifetimeLaws } from "../../laws/index.js"
import { store } from "./support.js"

lifetimeLaws(store)
