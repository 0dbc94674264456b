/**
 * A TCP proxy on loopback whose network can be made bad while it runs.
 */

import * as net from "node:net"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { freePort } from "./ports.js"

export interface TcpProxy {
  readonly host: string
  readonly port: number
  /** `redis://127.0.0.1:<port>` */
  readonly url: string
  /** Delays every answer of the target by this number of milliseconds. Requests pass at once. */
  readonly latency: (millis: number) => Effect.Effect<void>
  /** Does the same, except for connections that have subscribed to a channel. */
  readonly latencyOfCommands: (millis: number) => Effect.Effect<void>
  /** Sets how many bytes of answers each connection carries per millisecond. */
  readonly bandwidth: (bytes: number) => Effect.Effect<void>
  /**
   * Keeps all connections open, and new ones too, but carries nothing, as if packets got lost. What is sent meanwhile
   * waits in the buffers of the sockets and passes at `restore`, unless `cut` came before.
   */
  readonly blackhole: Effect.Effect<void>
  /** Does the same for connections that have subscribed to a channel. The others go on. */
  readonly blackholeSubscribers: Effect.Effect<void>
  /** Refuses new connections. Existing ones go on. */
  readonly refuse: Effect.Effect<void>
  /** Connects new connections to another port of loopback. Existing ones go on. */
  readonly redirect: (port: number) => Effect.Effect<void>
  /** Resets all existing connections. New ones are accepted or refused as before. */
  readonly cut: Effect.Effect<void>
  /** Does the same for connections that have subscribed to a channel. */
  readonly cutSubscribers: Effect.Effect<void>
  /** Ends all faults: no latency, full bandwidth, no black hole, and new connections are accepted. */
  readonly restore: Effect.Effect<void>
  /** The number of open connections. */
  readonly connections: Effect.Effect<number>
  /** The number of connections accepted since the start. */
  readonly accepted: Effect.Effect<number>
  /** The number of bytes of answers that were passed on since the start. */
  readonly answered: Effect.Effect<number>
  /** The first line of each HTTP request since the start. */
  readonly requests: Effect.Effect<ReadonlyArray<string>>
}

class NotListening extends Data.TaggedError("NotListening")<{ readonly message: string }> {}

class Link {
  readonly client: net.Socket
  readonly target: net.Socket
  readonly state: State
  isSubscriber = false
  /** The answers on their way, in order. */
  private readonly answers: Array<() => void> = []
  /** The number of answers whose delay is over. */
  private due = 0
  private lastAt = 0

  constructor(client: net.Socket, targetPort: number, state: State) {
    this.client = client
    this.target = net.connect({ port: targetPort, host: "127.0.0.1", noDelay: true, allowHalfOpen: true })
    this.state = state
    client.setNoDelay(true)
    client.on("data", (chunk) => {
      const [, request] = /^([A-Z]+ \S+) HTTP\//.exec(chunk.subarray(0, 2_000).toString("latin1")) ?? []
      if (request !== undefined) state.requests.push(request)
      if (!this.isSubscriber && chunk.includes("subscribe")) {
        this.isSubscriber = true
        this.hold()
      }
      this.forward(client, this.target, chunk)
    })
    client.on("end", () => this.target.end())
    this.target.on("data", (chunk) =>
      this.answer(() => {
        if (!client.destroyed) state.answered += chunk.length
        this.forward(this.target, client, chunk)
      }, chunk.length)
    )
    this.target.on("end", () => this.answer(() => client.end()))
    this.target.on("drain", () => this.isHeld || client.resume())
    client.on("drain", () => this.isHeld || this.target.resume())
    // a reset on one side becomes a reset on the other, and so does a target that is down
    this.target.on("error", () => client.resetAndDestroy())
    client.on("error", () => this.target.resetAndDestroy())
    client.on("close", () => {
      state.links.delete(this)
      this.target.destroy()
    })
    this.hold()
  }

  private get isHeld(): boolean {
    return this.state.held || (this.state.subscribersHeld && this.isSubscriber)
  }

  /** Pauses or resumes the connection as the state says. */
  hold(): void {
    for (const socket of [this.client, this.target]) {
      if (this.isHeld) socket.pause()
      else socket.resume()
    }
    this.deliver()
  }

  reset(): void {
    this.client.resetAndDestroy()
    this.target.resetAndDestroy()
  }

  private forward(from: net.Socket, to: net.Socket, chunk: Buffer): void {
    if (!to.destroyed && !to.write(chunk)) from.pause()
  }

  private answer(act: () => void, bytes = 0): void {
    this.answers.push(act)
    const now = performance.now()
    const { bandwidth, latency, subscriberLatency } = this.state
    this.lastAt = Math.max(this.lastAt, now + (this.isSubscriber ? subscriberLatency : latency)) + bytes / bandwidth
    const arrive = () => {
      this.due++
      this.deliver()
    }
    if (this.lastAt <= now) arrive()
    else setTimeout(arrive, Math.ceil(this.lastAt - now))
  }

  private deliver(): void {
    for (; !this.isHeld && this.due > 0; this.due--) this.answers.shift()?.()
  }
}

interface State {
  // mutable by design
  latency: number
  subscriberLatency: number
  bandwidth: number
  held: boolean
  subscribersHeld: boolean
  accepted: number
  answered: number
  readonly requests: Array<string>
  readonly links: Set<Link>
}

/** Makes a proxy in front of a port on loopback. The proxy and its connections end with the scope. */
export const make = (targetPort: number): Effect.Effect<TcpProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const state: State = {
      latency: 0,
      subscriberLatency: 0,
      bandwidth: Number.POSITIVE_INFINITY,
      held: false,
      subscribersHeld: false,
      accepted: 0,
      answered: 0,
      requests: [],
      links: new Set()
    }
    let server: net.Server | undefined
    let target = targetPort

    const listen = (port: number): Effect.Effect<void, NotListening> =>
      Effect.async<void, NotListening>((resume) => {
        if (server !== undefined) return resume(Effect.void)
        const next = net.createServer({ allowHalfOpen: true }, (client) => {
          state.accepted++
          state.links.add(new Link(client, target, state))
        })
        next.once("error", (error) => resume(new NotListening({ message: error.message })))
        next.listen(port, "127.0.0.1", () => {
          server = next
          resume(Effect.void)
        })
      })

    const refuse = Effect.sync(() => {
      server?.close()
      server = undefined
    })
    const cutWhere = (which: (link: Link) => boolean) =>
      Effect.sync(() => {
        for (const link of Array.from(state.links).filter(which)) {
          link.reset()
          state.links.delete(link)
        }
      })
    const cut = cutWhere(() => true)
    const hold = (held: boolean, subscribersHeld: boolean) =>
      Effect.sync(() => {
        state.held = held
        state.subscribersHeld = subscribersHeld
        for (const link of state.links) link.hold()
      })
    const latencyOfCommands = (millis: number) =>
      Effect.sync(() => {
        state.latency = millis
      })
    const bandwidth = (bytes: number) =>
      Effect.sync(() => {
        state.bandwidth = bytes
      })
    const latency = (millis: number) =>
      Effect.zipRight(
        latencyOfCommands(millis),
        Effect.sync(() => {
          state.subscriberLatency = millis
        })
      )

    const port = yield* Effect.acquireRelease(
      freePort.pipe(Effect.tap(listen), Effect.retry({ times: 5 }), Effect.orDie),
      () => Effect.zipRight(refuse, cut)
    )
    return {
      host: "127.0.0.1",
      port,
      url: `redis://127.0.0.1:${port}`,
      latency,
      latencyOfCommands,
      bandwidth,
      blackhole: hold(true, false),
      blackholeSubscribers: hold(false, true),
      refuse,
      redirect: (port) =>
        Effect.sync(() => {
          target = port
        }),
      cut,
      cutSubscribers: cutWhere((link) => link.isSubscriber),
      restore: Effect.orDie(listen(port)).pipe(
        Effect.zipRight(latency(0)),
        Effect.zipRight(bandwidth(Number.POSITIVE_INFINITY)),
        Effect.zipRight(hold(false, false))
      ),
      connections: Effect.sync(() => state.links.size),
      accepted: Effect.sync(() => state.accepted),
      answered: Effect.sync(() => state.answered),
      requests: Effect.sync(() => state.requests.slice())
    }
  })
