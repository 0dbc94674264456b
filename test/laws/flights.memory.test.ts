import * as MemoryCache from "../../src/MemoryCache.js"
import { flights } from "./flights.js"

flights({ name: "memory", layer: MemoryCache.layer(), remote: false })
