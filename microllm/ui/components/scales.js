// Scales, elements and labels of a plot.

const SVG = "http://www.w3.org/2000/svg"

const make = (name, attributes = {}, text = "") => {
  const element = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value)
  element.textContent = text
  return element
}

// A scale from values to pixels; `domain` is its first and last value, `pixels` where they are drawn.
class Scale {
  constructor(domain, pixels, isLog = false) {
    this.isLog = isLog
    this.pixels = pixels
    const [first, last] = domain.map((value) => this.#u(value))
    this.u = [first, last > first ? last : first + 1e-9]
  }

  #u(value) {
    return this.isLog ? Math.log(Math.max(value, 1e-9)) : value
  }

  #value(u) {
    return this.isLog ? Math.exp(u) : u
  }

  get domain() {
    return this.u.map((u) => this.#value(u))
  }

  at(value) {
    const [from, to] = this.pixels
    return from + ((this.#u(value) - this.u[0]) / (this.u[1] - this.u[0])) * (to - from)
  }

  invert(pixel) {
    const [from, to] = this.pixels
    return this.#value(this.u[0] + ((pixel - from) / (to - from)) * (this.u[1] - this.u[0]))
  }

  // The domain after which each value in `values` is drawn at the pixel of the same number in `places`.
  domainWith(values, places) {
    const [a, b] = values.map((value) => this.#u(value))
    const [p, q] = places
    const perPixel = (b - a) / (q - p)
    return this.pixels.map((pixel) => this.#value(a + (pixel - p) * perPixel))
  }

  // Round values at least `gap` pixels apart.
  ticks(gap) {
    const [low, high] = this.domain
    const length = Math.abs(this.pixels[1] - this.pixels[0])
    if (this.isLog && high / low > 8) {
      for (const digits of [[1, 2, 5], [1, 3], [1]]) {
        const ticks = []
        for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10)
          ticks.push(...digits.map((digit) => digit * power).filter((tick) => tick >= low * 0.999 && tick <= high * 1.001))
        const isTight = ticks.some((tick, i) => i && Math.abs(this.at(tick) - this.at(ticks[i - 1])) < gap)
        if (!isTight || digits.length === 1) return ticks
      }
    }
    const least = ((high - low) * gap) / length
    const power = 10 ** Math.floor(Math.log10(least))
    const step = [1, 2, 5, 10].map((digit) => digit * power).find((step) => step >= least)
    const first = Math.ceil(low / step - 1e-9)
    return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(10)))
  }
}

// Places at least `gap` apart, in the order of those wished, from `top` on: each where it is wished, or pushed down by
// those above. None is below `bottom`, as long as there is room for all.
function spread(wished, top, bottom, gap) {
  const places = [...wished]
  const order = places.map((_, i) => i).sort((a, b) => wished[a] - wished[b] || a - b)
  for (const i of order) {
    places[i] = top = Math.max(places[i], top)
    top += gap
  }
  for (const i of order.reverse()) {
    places[i] = bottom = Math.min(places[i], bottom)
    bottom -= gap
  }
  return places
}

// For each label [start, end], the first of `count` rows in which it overlaps no other before it; -1 if there is none.
function rowsOf(labels, count) {
  const taken = Array.from({ length: count }, () => [])
  return labels.map(([start, end]) => {
    const row = taken.findIndex((others) => others.every(([from, to]) => end < from || to < start))
    if (row >= 0) taken[row].push([start, end])
    return row
  })
}
