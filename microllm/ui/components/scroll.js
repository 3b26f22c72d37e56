// Brings the container whose key is in `data` into view, once.

export default function ({ data, parentElement: root }) {
  const place = root.querySelector("i")
  if (place.seen === data.to) return
  place.seen = data.to
  if (data.to) document.querySelector(`.st-key-${data.to}`)?.scrollIntoView({ block: "start", behavior: "instant" })
}
