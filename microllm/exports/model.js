// The model, from characters to the probabilities of the next one, and generation: what microllm/model.py, sample.py and
// inference.py do in PyTorch, in plain JavaScript and without any library.
//
// A vector is a Float32Array, and x has one vector for each character. The names are those of model.py: T characters,
// C = n_embd numbers in a vector, H = n_head, D = C / H numbers in a head, V = characters in the vocabulary.

// ---- vectors

// y = W x + b, as torch.nn.Linear: the weight W has a row of inputs for each output.
function linear({ weight, bias }, x) {
  const y = new Float32Array(weight.length / x.length)
  for (let i = 0; i < y.length; i++) {
    let sum = bias ? bias[i] : 0
    for (let j = 0, at = i * x.length; j < x.length; j++, at++) sum += weight[at] * x[j]
    y[i] = sum
  }
  return y
}

// Layer normalization (Ba et al. 2016): mean 0 and variance 1, then a trained weight and bias for each number.
function layerNorm({ weight, bias }, x, epsilon) {
  const mean = x.reduce((sum, number) => sum + number, 0) / x.length
  const variance = x.reduce((sum, number) => sum + (number - mean) ** 2, 0) / x.length
  const scale = 1 / Math.sqrt(variance + epsilon)
  return x.map((number, i) => (number - mean) * scale * weight[i] + bias[i])
}

// Softmax: shares proportional to e^score that sum to one. The largest score is subtracted, so that nothing overflows.
function softmax(scores) {
  const largest = scores.reduce((a, b) => Math.max(a, b), -Infinity)
  const shares = scores.map((score) => Math.exp(score - largest))
  const sum = shares.reduce((a, b) => a + b, 0)
  return shares.map((share) => share / sum)
}

const plus = (x, y) => x.map((number, i) => number + y[i])

const dot = (x, y) => {
  let sum = 0
  for (let i = 0; i < x.length; i++) sum += x[i] * y[i]
  return sum
}

// Rotary positions (Su et al. 2021): each pair of numbers is a point in the plane, rotated by an angle that grows with
// the position. The first pair turns by one radian per position, the last by about 1 / 10,000.
function rotate(x, position) {
  const y = new Float32Array(x.length)
  for (let i = 0; i < x.length; i += 2) {
    const angle = position * 10_000 ** (-i / x.length)
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)]
    y[i] = x[i] * cos - x[i + 1] * sin
    y[i + 1] = x[i] * sin + x[i + 1] * cos
  }
  return y
}

// ---- the model

class MicroLLM {
  // `config` has the settings of ModelConfig and two constants of model.py; `vocab` is an array of characters, whose
  // places are their ids; `weights` has a Float32Array for each name of PyTorch's state_dict.
  constructor(config, vocab, weights) {
    this.config = config
    this.vocab = vocab
    this.weights = weights
    this.ids = new Map(vocab.map((character, id) => [character, id]))
  }

  // Each character is one token, and a character is a code point: an emoji is one, not two as in "😀".length.
  encode(text) {
    return Array.from(text, (character) => this.ids.get(character)).filter((id) => id !== undefined)
  }

  // The characters of a text that the model does not know, each once.
  unknown(text) {
    return [...new Set(text)].filter((character) => !this.ids.has(character))
  }

  layer(name) {
    return { weight: this.weights[`${name}.weight`], bias: this.weights[`${name}.bias`] }
  }

  // Read the characters `ids`, which follow those in `context`: [the logits of the next character, patterns].
  // patterns[layer][head][query][key] is the share of its attention that a head at a query pays to a key; the queries
  // are the characters just read, the keys all in the context, to which the characters are added.
  forward(ids, context = new Context(this)) {
    const { n_layer, layer_norm_eps } = this.config
    let x = this.embed(ids, context.ids)
    const patterns = []
    for (let i = 0; i < n_layer; i++) {
      const norm = (x, name) => layerNorm(this.layer(`blocks.${i}.${name}`), x, layer_norm_eps)
      const [outputs, pattern] = this.attend(i, x.map((x) => norm(x, "ln1")), context.layers[i])
      x = x.map((x, t) => plus(x, outputs[t])) // each layer adds what it found to the vectors: the residual stream
      x = x.map((x) => plus(x, this.feedForward(i, norm(x, "ln2"))))
      patterns.push(pattern)
    }
    context.ids = [...context.ids, ...ids]
    return [linear(this.layer("lm_head"), layerNorm(this.layer("ln_f"), x.at(-1), layer_norm_eps)), patterns]
  }

  // A vector for each character: its own, those of the `lookback` characters before it, and that of its position.
  // `before` are the characters of the context before these.
  embed(ids, before) {
    const { n_embd, lookback, position } = this.config
    const row = (name, i) => this.weights[`${name}.weight`].subarray(i * n_embd, (i + 1) * n_embd)
    const [all, V] = [[...before, ...ids], this.vocab.length]
    return ids.map((id, i) => {
      const t = before.length + i
      let x = row("token_embedding", id)
      for (let back = lookback; back > 0; back--) {
        const previous = t >= back ? all[t - back] : V // a table for each distance: V characters, and "before the beginning"
        x = plus(x, row("lookback_embedding", (lookback - back) * (V + 1) + previous))
      }
      return position === "learned" ? plus(x, row("position_embedding", t)) : x
    })
  }

  // All attention heads of a layer (Vaswani et al. 2017, equation 1): [what each character gets, the heads' patterns].
  // `cache` holds the keys and values of the characters before; those of x are added to it.
  attend(layer, x, cache) {
    const { n_embd: C, n_head: H, position, causal } = this.config
    const [name, D, start] = [`blocks.${layer}.attention`, C / H, cache.keys.length]
    const queries = []
    x.forEach((x, i) => {
      const qkv = linear(this.layer(`${name}.qkv`), x) // queries of all heads, then keys, then values
      const heads = Array.from({ length: 3 * H }, (_, i) => qkv.subarray(i * D, (i + 1) * D))
      const placed = (head) => (position === "rotary" ? rotate(head, start + i) : head)
      queries.push(heads.slice(0, H).map(placed))
      cache.keys.push(heads.slice(H, 2 * H).map(placed))
      cache.values.push(heads.slice(2 * H))
    })
    const z = x.map(() => new Float32Array(C)) // the outputs of all heads, side by side
    const pattern = Array.from({ length: H }, (_, head) =>
      queries.map((query, i) => {
        const [q, length] = [start + i, causal ? start + i + 1 : cache.keys.length] // the causal mask hides later keys
        const scores = new Float64Array(length).map((_, k) => {
          return dot(query[head], cache.keys[k][head]) / Math.sqrt(D) + this.bias(name, head, q - k)
        })
        const weights = softmax(scores)
        if (!this.isSilenced(layer, head)) {
          const out = z[i].subarray(head * D, (head + 1) * D)
          for (let k = 0; k < length; k++) for (let d = 0; d < D; d++) out[d] += weights[k] * cache.values[k][head][d]
        }
        return weights
      }),
    )
    return [z.map((z) => linear(this.layer(`${name}.proj`), z)), pattern]
  }

  // Relative positions: what a head adds to the score of a key that is `distance` back (if negative: later, which only a
  // model without a causal mask can see; these numbers are at the end of the row).
  bias(name, head, distance) {
    const { position, n_head, relative_scale } = this.config
    if (position !== "relative") return 0
    const trained = this.weights[`${name}.relative_bias`]
    const width = trained.length / n_head
    return relative_scale * trained[head * width + ((distance + width) % width)]
  }

  // True for a head whose output is always zero.
  isSilenced(layer, head) {
    return this.config.silenced.split(" ").includes(`${layer + 1}.${head + 1}`)
  }

  // The feed-forward network: four times the width, the activation, and back.
  feedForward(layer, x) {
    const name = `blocks.${layer}.feed_forward`
    const relu = linear(this.layer(`${name}.expand`), x).map((number) => Math.max(0, number))
    const hidden = this.config.activation === "relu2" ? relu.map((number) => number ** 2) : relu
    return linear(this.layer(`${name}.proj`), hidden)
  }
}

// ---- writing

// The characters from which the model predicts the next one, and the keys and values that each layer keeps for them.
class Context {
  constructor(model) {
    this.model = model
    this.clear()
  }

  clear() {
    this.ids = []
    this.layers = Array.from({ length: this.model.config.n_layer }, () => ({ keys: [], values: [] }))
  }

  // Read more characters: the logits of the next one. When the context is full its oldest quarter is dropped and the rest
  // read again. Without a causal mask everything is read again, because earlier characters see the new ones.
  read(ids) {
    const { block_size, causal } = this.model.config
    if (this.ids.length && (this.ids.length + ids.length > block_size || !causal)) {
      const isFull = this.ids.length === block_size
      ids = [...this.ids.slice(isFull ? Math.max(1, Math.floor(block_size / 4)) : 0), ...ids]
      this.clear()
    }
    return this.model.forward(ids.slice(-block_size), this)[0]
  }
}

// The probabilities with which the next character is drawn. A temperature below 1 favors likely characters even more, and
// 0 always takes the most likely; top-k excludes all but the k most likely (Fan et al. 2018), 0 none.
function probabilities(logits, temperature = 1, topK = 0) {
  const kept = temperature > 0 ? topK || logits.length : 1
  const order = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a])
  const scores = new Float64Array(logits.length).fill(-Infinity)
  for (const id of order.slice(0, kept)) scores[id] = (logits[id] - logits[order[0]]) / (temperature || 1)
  return softmax(scores)
}

// Draw an id: the first at which the cumulative probability exceeds a random number.
function draw(chances, random = Math.random()) {
  let sum = 0
  for (let id = 0; id < chances.length; id++) {
    sum += chances[id]
    if (sum > random) return id
  }
  return chances.findLastIndex((chance) => chance > 0) // the sum of all may be a little below one
}
