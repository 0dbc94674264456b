import { boundLaws } from "../../laws/index.js"
import { store } from "./support.js"

boundLaws(store)
