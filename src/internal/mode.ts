/** how the reads of a fiber go about: `Cached.reload` and `Cached.bypass` */
import * as FiberRef from "effect/FiberRef"
import { globalValue } from "effect/GlobalValue"

export type Mode = "normal" | "reload" | "bypass"

export const readMode: FiberRef.FiberRef<Mode> = /*#__PURE__*/ globalValue("effect-cached/readMode", () =>
  FiberRef.unsafeMake<Mode>("normal")
)
