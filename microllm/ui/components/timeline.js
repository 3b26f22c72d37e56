// The curve of a run on one line. Dragging, a click or arrow keys choose a snapshot; the right end is the newest moment.
// Below it stand a few steps, on the same axis: the logarithm of the step.
// `data`: x and y of the curve (0-1000, 0-255), the snapshots' steps and places (0-1000), the moment (-1: the newest).

const GAP = 28 // pixels between two labels

// The steps to label, the most important first: the chosen one, both ends, powers of ten, five times those.
const stepsToLabel = (moment, last) => {
  const powers = Array.from({ length: 7 }, (_, i) => 10 ** i)
  const steps = [moment, last, 0, ...powers, ...powers.map((power) => 5 * power)]
  return [...new Set(steps)].filter((step) => step >= 0 && step <= last)
}

export default function ({ data, parentElement: root, setTriggerValue }) {
  const track = root.querySelector(".track")
  const thumb = root.querySelector(".thumb")
  const back = root.querySelector(".back")
  const state = (track.state ??= { choice: new Choice(), drawn: "" })
  state.data = data
  state.choice.update(data.moment, (step) => setTriggerValue("chosen", step))

  const draw = () => {
    const { snapshots, places, is_live, last } = state.data
    const moment = state.choice.shown
    const i = snapshots.indexOf(moment)
    const isPast = i >= 0
    thumb.style.left = `${(isPast ? places[i] : 1000) / 10}%`
    thumb.classList.toggle("past", isPast)
    const newest = is_live ? "Live" : "The end"
    const words = isPast ? `Showing step ${moment.toLocaleString("en")}` : newest
    track.setAttribute("aria-valuemin", "0")
    track.setAttribute("aria-valuemax", String(last))
    track.setAttribute("aria-valuenow", String(isPast ? moment : last))
    track.setAttribute("aria-valuetext", words)
    back.classList.toggle("past", isPast)
    // on a phone it is there only when enabled: during a drag, the track must not move under the finger
    if (!state.isDragged) back.disabled = !isPast
    // keep its elements: when the one under the pointer is replaced between press and release, there is no click
    back.querySelector("span").textContent = words
    back.querySelector("b").textContent = isPast ? `Back to ${is_live ? "live" : "the end"}` : ""
    label()
  }

  const label = () => {
    const { last } = state.data
    const moment = state.choice.shown
    const place = root.querySelector(".steps")
    const labels = stepsToLabel(moment, last).map((step) => {
      const one = document.createElement("span")
      one.textContent = step.toLocaleString("en")
      one.classList.toggle("moment", step === moment)
      return [step, one]
    })
    place.replaceChildren(...labels.map(([, one]) => one))
    const room = track.clientWidth
    const taken = []
    for (const [step, one] of labels) {
      const width = one.offsetWidth
      const left = Math.max(0, Math.min((room * Math.log1p(step)) / Math.log1p(last) - width / 2, room - width))
      if (taken.some(([from, to]) => left < to + GAP && from < left + width + GAP)) one.remove()
      else {
        one.style.left = `${left}px`
        taken.push([left, left + width])
      }
    }
  }
  state.label = label
  state.observer ??= new ResizeObserver(() => state.label())

  const choose = (step) => {
    if (step === state.choice.shown) return
    state.choice.make(step, track)
    draw()
  }

  const nearest = (event) => {
    const box = track.getBoundingClientRect()
    const at = (1000 * (event.clientX - box.left)) / box.width
    const { snapshots, places } = state.data
    let best = -1
    let distance = Math.abs(1000 - at)
    places.forEach((place, i) => {
      if (Math.abs(place - at) < distance) {
        distance = Math.abs(place - at)
        best = snapshots[i]
      }
    })
    return best
  }

  track.onpointerdown = (event) => {
    track.setPointerCapture(event.pointerId)
    state.isDragged = true
    choose(nearest(event))
  }
  track.onlostpointercapture = () => {
    state.isDragged = false
    draw()
  }
  track.onpointermove = (event) => {
    if (track.hasPointerCapture(event.pointerId)) choose(nearest(event))
  }
  track.onkeydown = (event) => {
    const stops = [...state.data.snapshots, -1]
    const i = stops.indexOf(state.choice.shown)
    const to = {
      ArrowLeft: i - 1, ArrowDown: i - 1, ArrowRight: i + 1, ArrowUp: i + 1,
      Home: 0, End: stops.length - 1, Escape: stops.length - 1,
    }[event.key]
    if (to === undefined) return
    event.preventDefault()
    choose(stops[Math.min(Math.max(to, 0), stops.length - 1)])
  }
  back.onclick = () => choose(-1)

  const curve = data.x.map((x, i) => `${i ? "L" : "M"}${x},${data.y[i]}`).join("")
  if (curve !== state.drawn) {
    state.drawn = curve
    root.querySelector(".curve").setAttribute("d", curve)
    root.querySelector(".snapshots").replaceChildren(
      ...data.places.map((place) => {
        const mark = document.createElement("i")
        mark.style.left = `${place / 10}%`
        return mark
      }),
    )
  }
  draw()
  state.observer.observe(track)
}
