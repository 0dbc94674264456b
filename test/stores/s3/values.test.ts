import { values } from "../../laws/values.js"
import { store } from "./support.js"

values(store)
