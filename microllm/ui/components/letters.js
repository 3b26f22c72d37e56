// Texts tinted by surprisal, and beside them the probabilities at one place.
// Writing: a click or Enter on a character asks the server for its bars; a bar is a button that chooses its character.
// Reading: what the model expected at each place comes with the text, so pointing needs no server.
// Both: the server also says why a character stands where it does (why.js), when somebody asks.

const CLOSED = -1 // `asked`: the alternatives are shown
const OPEN = -2 // `asked`: why; in a reading, before a character is chosen (later it is the character's place)

export default function ({ data, parentElement: root, setTriggerValue }) {
  const view = root.querySelector(".letters")
  const state = (view.state ??= { samples: [], bars: [], at: null, locked: null, hovered: null, choice: new Choice() })
  state.data = data
  view.dataset.kind = data.kind
  view.style.setProperty("--many", data.samples.length > 1 ? 1 : 0)
  const find = (one) => root.querySelector(one)
  const name = (character) => state.data.shown[character] ?? alone(character)
  root.querySelector(".words").textContent = `very surprising (${data.most} nats or more: 1 in ${100 * Math.round(Math.exp(data.most) / 100)} or rarer)`

  // ---- the texts

  const newSample = (number) => {
    const box = document.createElement("figure")
    const title = document.createElement("figcaption")
    const text = document.createElement("code")
    text.dir = "auto"
    const given = document.createElement("span")
    given.className = "given"
    text.append(given)
    box.append(title, text)
    const sample = { box, title, text, given, spans: [], characters: [], tints: "", at: -1 }
    text.onclick = (event) => {
      const span = event.target.closest("[role=option]")
      if (span) pick(number, span.place)
    }
    text.onpointerover = (event) => {
      const span = event.target.closest("[role=option]")
      if (span && event.pointerType === "mouse") hover(number, span.place)
    }
    text.onpointerleave = () => hover(number, null)
    text.onkeydown = (event) => press(number, event)
    text.onfocus = () => {
      if (sample.at < 0 && sample.spans.length && text.matches(":focus-visible")) stand(number, 0)
    }
    text.onblur = () => stand(number, -1)
    return sample
  }

  const newSpan = (place) => {
    const span = document.createElement("span")
    span.place = place
    span.id = `c${place}-${Math.random().toString(36).slice(2)}`
    span.setAttribute("role", "option")
    span.setAttribute("aria-selected", "false")
    return span
  }

  // An invisible character is replaced by its name. A space is kept; a line end or a tab is kept after its sign.
  const show = (span, character) => {
    const sign = character === " " ? undefined : state.data.shown[character]
    const isSpacing = character === "\n" || character === "\t"
    span.textContent = sign && !isSpacing ? sign : character
    span.classList.toggle("name", Boolean(sign) && !isSpacing)
    if (sign && isSpacing) span.dataset.shown = sign
    else delete span.dataset.shown
  }

  const showGiven = (box, text) => {
    box.replaceChildren()
    let plain = ""
    for (const character of text) {
      if (character === " " || !(character in state.data.shown)) plain += character
      else {
        const span = document.createElement("span")
        show(span, character)
        box.append(plain, span)
        plain = ""
      }
    }
    box.append(plain)
  }

  const write = (sample, { name: title, given, text, tints }) => {
    const characters = Array.from(text)
    const isOther = (character, i) => i < characters.length && character !== characters[i]
    const firstOther = sample.shownGiven === given ? sample.characters.findIndex(isOther) : 0
    sample.title.textContent = title
    const isEmpty = !characters.length // then there is only a prompt, and nothing to choose
    sample.text.tabIndex = isEmpty ? -1 : 0
    sample.text.setAttribute("role", isEmpty ? "group" : "listbox")
    sample.text.setAttribute("aria-label", `${title || "Text"}${isEmpty ? "" : ": arrow keys move between characters"}`)
    if (sample.shownGiven !== given) showGiven(sample.given, (sample.shownGiven = given))
    const added = document.createDocumentFragment()
    characters.forEach((character, i) => {
      const isNew = i >= sample.spans.length
      const span = isNew ? newSpan(i) : sample.spans[i]
      if (isNew || sample.characters[i] !== character) {
        show(span, character)
        if (character in state.data.shown) span.setAttribute("aria-label", name(character))
        else span.removeAttribute("aria-label")
      }
      if (isNew || sample.tints[i] !== tints[i]) {
        span.style.setProperty("--level", tints[i] === "-" ? 0 : parseInt(tints[i], 16))
      }
      if (isNew) {
        sample.spans.push(span)
        added.append(span)
      }
    })
    for (const span of sample.spans.splice(characters.length)) span.remove()
    sample.text.append(added)
    sample.characters = characters
    sample.tints = tints
    if (firstOther === 0) sample.text.scrollTop = 0 // another sample begins at its beginning
    else if (firstOther > 0) reveal(sample, sample.spans[firstOther])
  }

  // ---- pointing

  const reveal = ({ text }, span) => {
    const top = span.offsetTop
    if (top < text.scrollTop) text.scrollTop = top - 10 // 0 in the first line
    if (top + 28 > text.scrollTop + text.clientHeight) text.scrollTop = top + 36 - text.clientHeight
  }

  const stand = (number, place) => {
    const sample = state.samples[number]
    sample.spans[sample.at]?.classList.remove("at")
    sample.at = Math.min(place, sample.spans.length - 1)
    const span = sample.spans[sample.at]
    if (!span) {
      sample.text.removeAttribute("aria-activedescendant")
      return
    }
    span.classList.add("at")
    sample.text.setAttribute("aria-activedescendant", span.id)
    reveal(sample, span)
    if (state.data.kind === "reading") hover(number, sample.at)
  }

  const press = (number, event) => {
    const sample = state.samples[number]
    if (!sample.spans.length || event.ctrlKey || event.metaKey || event.altKey) return
    const to = walk(sample.spans, Math.max(0, sample.at), event.key)
    if (to !== undefined) stand(number, sample.at < 0 ? 0 : to)
    else if ((event.key === "Enter" || event.key === " ") && sample.at >= 0) pick(number, sample.at)
    else if (event.key === "Escape" && state.data.kind === "reading") lock(null)
    else return
    event.preventDefault()
  }

  const pick = (number, place) => {
    if (state.data.kind === "reading") lock(state.locked === place ? null : place)
    else {
      mark(number, place)
      setTriggerValue("picked", [number, place])
      showPlace()
    }
  }

  // On a phone it may be below the text, and out of sight.
  const showPlace = () => {
    const { bottom } = find(".samples").getBoundingClientRect()
    if (find(".place").getBoundingClientRect().top >= bottom) find(".place").scrollIntoView({ block: "nearest" })
  }

  const mark = (number, place) => {
    if (state.marked) {
      state.marked.classList.remove("on")
      state.marked.setAttribute("aria-selected", "false")
    }
    state.marked = state.samples[number]?.spans[place]
    if (state.marked) {
      state.marked.classList.add("on")
      state.marked.setAttribute("aria-selected", "true")
    }
  }

  const lock = (place) => {
    state.locked = place
    mark(0, place)
    if (isAsking()) {
      ask(true)
      showPlace()
    }
    describe()
  }

  // ---- why

  const isAsking = () => state.choice.shown !== CLOSED

  const ask = (isWhy) => {
    const place = state.data.kind === "reading" ? (state.locked ?? OPEN) : OPEN
    state.choice.make(isWhy ? place : CLOSED, view)
    drawWhetherWhy()
  }

  const sayAlternatives = () => {
    const { kind, place } = state.data
    if (kind === "reading") describe()
    else say(place.title, place.about, place.note)
  }

  // The bars until the server has answered, and again at once when they are chosen.
  const drawWhetherWhy = () => {
    const tabs = find(".tabs")
    tabs.hidden = (state.data.asked ?? null) === null
    Array.from(tabs.children).forEach((tab, i) => {
      const isChosen = isAsking() === (i === 1)
      tab.setAttribute("aria-checked", String(isChosen))
      tab.tabIndex = isChosen ? 0 : -1
      tab.onclick = () => isAsking() === (i === 1) || ask(i === 1)
      tab.onkeydown = (event) => {
        if (!event.key.startsWith("Arrow")) return
        const other = tabs.children[1 - i]
        other.focus()
        other.click()
        event.preventDefault()
      }
    })
    const { why } = state.data
    const isShown = isAsking() && Boolean(why)
    if (view.classList.contains("asking") !== isShown) {
      view.classList.toggle("asking", isShown)
      const sample = state.samples.find(({ spans }) => spans.includes(state.marked))
      if (sample) reveal(sample, state.marked) // its box may be lower now
      if (!isShown) sayAlternatives()
    }
    if (!isShown) return
    drawWhy(find(".why.text"), find(".why.model"), why)
    find("h4").textContent = why.title
    find(".about").textContent = why.summary
    const status = `${why.title} ${why.summary}`
    if (find(".status").textContent !== status) find(".status").textContent = status
  }

  const hover = (number, place) => {
    if (state.data.kind !== "reading") return
    state.hovered = place
    describe()
  }

  // ---- the bars

  const newBar = () => {
    const bar = barRow(state.data.kind === "reading" ? "div" : "button", ["own", "drawn"])
    if (bar.row.type) bar.row.type = "button"
    bar.row.className = "bar"
    return bar
  }

  const drawBars = (rows) => {
    while (state.bars.length < rows.length) {
      const bar = newBar()
      state.bars.push(bar)
      find(".bars").append(bar.row)
    }
    state.bars.forEach((bar, i) => {
      bar.row.hidden = i >= rows.length
      if (bar.row.hidden) return
      const [character, own, drawn, written] = rows[i]
      bar.character.textContent = name(character)
      bar.bars[0].style.width = `${100 * own}%`
      bar.bars[1].style.width = `${100 * drawn}%`
      bar.row.classList.toggle("written", written)
      const isReading = state.data.kind === "reading"
      bar.share.textContent = `${drawn > 0 || isReading ? inPercent(isReading ? own : drawn) : "excluded"}${written ? " ✓" : ""}`
      if (isReading) return
      const drawnChance = drawn > 0 ? inPercent(drawn) : "excluded"
      bar.row.setAttribute("aria-label", `${name(character)}: ${drawnChance}${written ? ", in the text" : ", choose it"}`)
      bar.row.setAttribute("aria-disabled", String(written)) // unlike a disabled button, it keeps the focus
      bar.row.onclick = () => written || setTriggerValue("pressed", character)
    })
  }

  const say = (title, about, note) => {
    find("h4").textContent = title
    find(".about").textContent = about
    find(".note").textContent = note
  }

  const describe = () => {
    if (isAsking() && state.data.why) return drawWhetherWhy()
    const { guesses, percents, nats, note } = state.data
    const who = state.data.who ?? "the model"
    const { characters } = state.samples[0]
    const place = state.hovered ?? state.locked
    if (place === null || place >= characters.length) {
      say(`What ${who} expected`, "Point at a character, tap it, or use the arrow keys.", note)
      drawBars([])
      find(".status").textContent = ""
      return
    }
    const before = characters.slice(Math.max(0, place - 12), place).map((one) => state.data.shown[one] ?? one).join("")
    const character = isolated(name(characters[place]))
    if (nats[place] < 0) {
      say(`${character}  begins the text`, "It has no context, so there is no prediction for it.", note)
      drawBars([])
    } else {
      const surprisal = nats[place] / 100
      const odds = Math.exp(surprisal)
      const words = `Surprisal ${surprisal.toFixed(2)} nats: ${who} gave it a probability of 1 in ${odds < 10 ? odds.toFixed(1) : Math.round(odds)}.`
      say(`${character}  after …${isolated(before)}`, words, note)
      const k = percents.length / characters.length
      const all = Array.from(guesses).slice(place * k, (place + 1) * k)
      const few = 0.001 // a whole percentage of 0 comes from a chance that is not 0
      drawBars(all.map((guess, i) => [guess, percents[place * k + i] / 100 || few, 0, guess === characters[place]]))
    }
    find(".status").textContent = `${character}: ${find(".about").textContent}`
  }

  // ---- drawing

  if (state.kind !== data.kind) {
    Object.assign(state, { kind: data.kind, bars: [], locked: null, hovered: null })
    find(".bars").replaceChildren()
  }
  while (state.samples.length < data.samples.length) {
    const sample = newSample(state.samples.length)
    state.samples.push(sample)
    find(".samples").append(sample.box)
  }
  for (const sample of state.samples.splice(data.samples.length)) sample.box.remove()
  state.choice.update(data.asked ?? CLOSED, (asked) => setTriggerValue("asked", asked))
  data.samples.forEach((one, i) => write(state.samples[i], one))
  if (data.kind === "reading") {
    if (state.text !== data.samples[0].text) Object.assign(state, { text: data.samples[0].text, locked: null, hovered: null })
    const [start, length] = data.marked
    state.samples[0].spans.forEach((span, i) => span.classList.toggle("copied", i >= start && i < start + length))
    mark(0, state.locked)
    drawWhetherWhy()
    describe()
  } else {
    mark(...data.chosen)
    const { title, about, note, rows } = data.place
    say(title, about, note)
    drawBars(rows)
    const status = `${title}. ${about}`
    if (!(isAsking() && data.why) && find(".status").textContent !== status) find(".status").textContent = status
    drawWhetherWhy()
  }
}
