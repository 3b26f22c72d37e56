// Brings the container whose key is in `data` into view, once; if it says so, only on a phone.

const NARROWEST = 768 // pixels, as in sidebar.js

export default function ({ data, parentElement: root }) {
  const place = root.querySelector("i")
  if (place.seen === data.to) return
  place.seen = data.to
  if (data.onlyOnAPhone && window.innerWidth >= NARROWEST) return
  if (data.to) document.querySelector(`.st-key-${data.to}`)?.scrollIntoView({ block: "start", behavior: "instant" })
}
