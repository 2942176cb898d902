// A member of a group in Node: member.mjs CLIENT PROTOCOL BOOTSTRAP GROUP TOPIC. See ../groups_test.go for what it says.
const [client, , bootstrap, groupId, topic] = process.argv.slice(2)

const say = (partition, offset, value) => process.stdout.write(`${partition} ${offset} ${value}\n`)

async function kafkajs () {
  const { Kafka, logLevel } = await import('kafkajs')
  const logCreator = () => ({ log }) => process.stderr.write(JSON.stringify(log) + '\n')
  const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.WARN, logCreator, retry: { initialRetryTime: 200, maxRetryTime: 1000, retries: 60 } })
  const consumer = kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 500, rebalanceTimeout: 15000, maxWaitTimeInMs: 100 })
  process.once('SIGTERM', () => consumer.disconnect().finally(() => process.exit(0)))
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommitInterval: 500,
    eachMessage: async ({ partition, message }) => say(partition, message.offset, message.value)
  })
}

async function platformatic () {
  const { Consumer, stringDeserializers } = await import('@platformatic/kafka')
  const wait = ms => new Promise(resolve => setTimeout(resolve, ms))
  let consumer
  process.once('SIGTERM', () => Promise.race([consumer?.close(true), wait(3000)]).catch(() => {}).finally(() => process.exit(0)))
  // A stream that fails is over: start another, as its documentation has it.
  for (;;) {
    consumer = new Consumer({
      groupId, clientId: 'platformatic', bootstrapBrokers: [bootstrap], deserializers: stringDeserializers, autocommit: false,
      sessionTimeout: 6000, heartbeatInterval: 500, rebalanceTimeout: 15000, maxWaitTime: 100, retries: 20, retryDelay: 200
    })
    consumer.on('error', () => {})
    try {
      const stream = await consumer.consume({ topics: [topic], mode: 'committed', fallbackMode: 'earliest' })
      for await (const message of stream) {
        say(message.partition, message.offset, message.value)
        await message.commit()
      }
    } catch (error) {
      process.stderr.write(`${error?.message}\n`)
    }
    await Promise.race([consumer.close(true), wait(2000)]).catch(() => {})
    await wait(200)
  }
}

await { kafkajs, platformatic }[client]()
