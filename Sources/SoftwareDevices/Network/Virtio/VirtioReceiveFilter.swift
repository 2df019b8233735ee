/// Which frames a virtio network card receives: all of them until the driver asks for less.
struct VirtioReceiveFilter {
    var isPromiscuous = true
    var takesAllMulticast = false
    var takesAllUnicast = false
    var refusesMulticast = false
    var refusesUnicast = false
    var refusesBroadcast = false
    /// Further addresses; nil stands for more than fit: all of the kind.
    var unicast: [MACAddress]? = []
    var multicast: [MACAddress]? = []

    /// The most addresses that fit.
    static let capacity = 64

    /// Whether a frame for this address is received by the card with that address.
    func accepts(_ address: MACAddress, by card: MACAddress) -> Bool {
        if isPromiscuous { return true }
        if address.isBroadcast { return !refusesBroadcast }
        if address.isMulticast {
            if refusesMulticast { return false }
            return takesAllMulticast || multicast?.contains { $0.rawValue == address.rawValue } ?? true
        }
        if refusesUnicast { return false }
        return takesAllUnicast || address.rawValue == card.rawValue
            || unicast?.contains { $0.rawValue == address.rawValue } ?? true
    }

    /// Carries out a command of class 0, VIRTIO_NET_CTRL_RX.
    /// - Returns: whether it is known.
    mutating func set(_ command: UInt8, to on: Bool) -> Bool {
        switch command {
        case 0: isPromiscuous = on
        case 1: takesAllMulticast = on
        case 2: takesAllUnicast = on
        case 3: refusesMulticast = on
        case 4: refusesUnicast = on
        case 5: refusesBroadcast = on
        default: return false
        }
        return true
    }
}
