// Loads the document that the page's query selects. The page cannot send requests to the traffic port, which is another
// origin. Therefore each action is shown with a curl command.
'use strict'

// A value for a property: an example, an enum value, a constant, or a placeholder.
function sample(property) {
  const shape = property?.anyOf?.[0] ?? property ?? {}
  const choices = (shape.oneOf ?? []).map((choice) => choice?.const)
  const named = [...(shape.examples ?? []), ...(shape.enum ?? []), ...choices].find((value) => value != null)
  const least = shape.minimum ?? 1
  const plain = { integer: least, number: least, boolean: true, array: [], object: {} }
  return named ?? plain[[].concat(shape.type)[0]] ?? '…'
}

// The required parameters with sample values. Of alternatives the first one; all parameters if none is required.
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

// Sets examples, because Swagger UI generates unreadable ones from patterns.
function withExamples(spec) {
  const server = spec.servers[0].variables.gateway.default
  for (const [path, item] of Object.entries(spec.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      // An arbitrary body has neither a schema nor an example.
      const content = Object.values(operation.requestBody?.content ?? {}).filter((body) => body.schema)
      const inQuery = operation.parameters.filter((p) => p.in === 'query')
      const given = content.length
        ? parameters(spec.components.schemas[content[0].schema.$ref.split('/').pop()])
        : Object.fromEntries(inQuery.filter((p) => p.required).map((p) => [p.name, sample(p.schema)]))
      content.forEach((body) => (body.example = given))
      const curl = command(server, path, method, operation, given)
      operation.description += `\n\n\`\`\`sh\n${curl}\n\`\`\``
    }
  }
  return spec
}

async function show() {
  const response = await fetch('openapi.json' + location.search)
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  const spec = withExamples(await response.json())
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
  const message = document.createElement('p')
  message.className = 'error'
  message.textContent = `无法显示文档。The document cannot be shown. ${reason.message}`
  document.getElementById('docs').replaceChildren(message)
})
