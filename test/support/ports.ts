/**
 * Loopback ports for servers that are killed and started again.
 */
import * as net from "node:net"
import * as Effect from "effect/Effect"

const tryPort = (port: number): Effect.Effect<boolean> =>
  Effect.async<boolean>((resume) => {
    const server = net.createServer()
    server.once("error", () => resume(Effect.succeed(false)))
    server.listen(port, "127.0.0.1", () => server.close(() => resume(Effect.succeed(true))))
  })

/**
 * A free port below 32768, found by binding it. Port 0 is not used: the kernel answers it from the range of outgoing
 * connections, so while a server is down its port may be taken by another program, or by a client that keeps connecting to
 * that port and reaches itself. Below 32768 neither happens on Linux, macOS and Windows.
 */
export const freePort: Effect.Effect<number> = Effect.gen(function* () {
  while (true) {
    const port = 15_000 + Math.floor(Math.random() * 17_000)
    if (yield* tryPort(port)) return port
  }
})
