// A row for one character: its name, a track with a bar of each kind, and its share in words.
function barRow(tag, kinds) {
  const row = document.createElement(tag)
  const append = (parent, name, kind) => {
    const part = document.createElement(name)
    part.className = kind
    parent.append(part)
    return part
  }
  const [character, track, share] = ["character", "track", "share"].map((kind) => append(row, "span", kind))
  return { row, character, share, bars: kinds.map((kind) => append(track, "i", kind)) }
}
