// Shows the document that the page's own query asks for. Browsers let this page call no other port than its own, so each
// action comes with the command that calls it.
'use strict'

// A value for a property: one that its schema names, or a place to write one.
function sample(property) {
  const shape = property?.anyOf?.[0] ?? property ?? {}
  const choices = (shape.oneOf ?? []).map((choice) => choice?.const)
  const named = [...(shape.examples ?? []), ...(shape.enum ?? []), ...choices].find((value) => value != null)
  const least = shape.minimum ?? 1
  const plain = { integer: least, number: least, boolean: true, array: [], object: {} }
  return named ?? plain[[].concat(shape.type)[0]] ?? '…'
}

// The parameters that a call must bring, of those that would do the first; all where it need bring none.
function parameters(schema) {
  const properties = schema.properties ?? {}
  const one = schema.anyOf?.[0] ?? schema.oneOf?.[0]
  const names = new Set([...(schema.required ?? []), ...(one?.required ?? [])])
  for (const part of schema.allOf ?? []) {
    const [name, wanted] = Object.entries(part.if?.properties ?? {})[0] ?? []
    const holds = names.has(name) && sample(properties[name]) === wanted?.const
    if (holds) part.then?.required?.forEach((more) => names.add(more))
  }
  const shown = names.size ? [...names] : Object.keys(properties)
  return Object.fromEntries(shown.map((name) => [name, sample(properties[name])]))
}

function command(server, path, method, operation, given) {
  const words = [`curl -X ${method.toUpperCase()} '${server}${path.replace('{tenant}', 'TENANT').replace('{path}', 'PATH')}'`]
  if (operation.security.length) words.push("-H 'Authorization: Bearer TOKEN'")
  if (operation.requestBody?.content['*/*']) words.push('--data-binary @FILE')
  if (!operation.requestBody && Object.keys(given).length) words.push('-G')
  const text = (value) => (typeof value === 'string' ? value : JSON.stringify(value))
  const quoted = (word) => `'${word.replaceAll("'", "'\\''")}'`
  return [...words, ...Object.entries(given).map(([name, value]) => `-d ${quoted(`${name}=${text(value)}`)}`)].join(' ')
}

// Swagger UI makes its own examples of patterns, which nobody can read.
function withExamples(spec) {
  const server = spec.servers[0].variables.gateway.default
  for (const [path, item] of Object.entries(spec.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      // A body of any kind has no schema, and no example.
      const content = Object.values(operation.requestBody?.content ?? {}).filter((body) => body.schema)
      const inQuery = operation.parameters.filter((p) => p.in === 'query')
      const given = content.length
        ? parameters(spec.components.schemas[content[0].schema.$ref.split('/').pop()])
        : Object.fromEntries(inQuery.filter((p) => p.required).map((p) => [p.name, sample(p.schema)]))
      content.forEach((body) => (body.example = given))
      const call = command(server, path, method, operation, given)
      operation.description += `\n\n\`\`\`sh\n${call}\n\`\`\``
    }
  }
  return spec
}

async function show() {
  const answer = await fetch('openapi.json' + location.search)
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`)
  const spec = withExamples(await answer.json())
  document.title = spec.info.title
  SwaggerUIBundle({
    spec,
    dom_id: '#docs',
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    supportedSubmitMethods: [],
    validatorUrl: null,
  })
}

show().catch((reason) => {
  const fault = document.createElement('p')
  fault.className = 'fault'
  fault.textContent = `无法显示文档。The document can't be shown. ${reason.message}`
  document.getElementById('docs').replaceChildren(fault)
})
