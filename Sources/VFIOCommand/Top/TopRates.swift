/// What a device did a second, between two looks at it.
struct DeviceRates: Encodable, Equatable {
    let source: String
    let device: String
    /// How long the looks were apart.
    let seconds: Double
    let requestsPerSecond: Double
    let registersPerSecond: Double
    let transfersPerSecond: Double
    let transferBytesPerSecond: Double
    let interruptsPerSecond: Double
    let errorsPerSecond: Double
    /// Since the beginning.
    let errors: UInt64
    /// What is mapped for DMA now.
    let mappedBytes: UInt64

    /// - Parameter before: what it had done before; nil for a device that is new, all of whose work is.
    init(_ now: DeviceTraffic, since before: DeviceTraffic?, seconds: Double) {
        source = now.source
        device = now.device
        self.seconds = seconds
        func rate(_ counter: KeyPath<DeviceTraffic, UInt64>) -> Double {
            let (new, old) = (now[keyPath: counter], before?[keyPath: counter] ?? 0)
            // A server that was started anew counts from the beginning.
            let done = new >= old ? new - old : new
            return seconds > 0 ? Double(done) / seconds : 0
        }
        requestsPerSecond = rate(\.requests)
        registersPerSecond = rate(\.registers)
        transfersPerSecond = rate(\.transfers)
        transferBytesPerSecond = rate(\.transferBytes)
        interruptsPerSecond = rate(\.interrupts)
        errorsPerSecond = rate(\.errors)
        errors = now.errors
        mappedBytes = now.mappedBytes
    }

    /// What devices are ordered by.
    var traffic: Double { requestsPerSecond + transfersPerSecond + interruptsPerSecond }

    /// The rates of all, the busiest first.
    static func all(_ now: [DeviceTraffic], since before: [DeviceTraffic], seconds: Double) -> [DeviceRates] {
        // The first of one name counts, should a hostile server name two alike.
        let old = Dictionary(before.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
        return now.map { DeviceRates($0, since: old[$0.key], seconds: seconds) }.sorted {
            ($1.traffic, $0.source, $0.device) < ($0.traffic, $1.source, $1.device)
        }
    }

    static let heading = [
        "device", "of", "requests/s", "registers/s", "DMA/s", "DMA bytes/s", "interrupts/s", "errors",
        "mapped",
    ]

    /// The cells of a table.
    var row: [String] {
        [
            device, source, Self.count(requestsPerSecond), Self.count(registersPerSecond),
            Self.count(transfersPerSecond), Human.bytes(UInt64(min(transferBytesPerSecond, 1e18))),
            Self.count(interruptsPerSecond), Human.grouped(errors), Human.bytes(mappedBytes),
        ]
    }

    /// A rate: whole, but one digit more for what happens seldom.
    private static func count(_ rate: Double) -> String {
        rate < 10 ? Human.decimal(rate) : Human.grouped(UInt64(min(rate, 1e18)))
    }
}
