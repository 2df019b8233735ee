import VFIOABI

extension [UInt8] {
    /// The array's bytes.
    var rawSpan: RawSpan {
        @_lifetime(borrow self)
        // SAFETY: bytes have no padding.
        get { unsafe span.bytes }
    }

    /// Reads a value; a function of its own because an expectation can't take a span.
    func value<Value: ABIValue>(_ type: Value.Type = Value.self, at offset: Int = 0) -> Value? {
        Value(rawSpan, at: offset)
    }

    /// Reads a value of which only the beginning may be there.
    func value<Value: ABIValue>(_ type: Value.Type = Value.self, minimumSize: Int) -> Value? {
        Value(prefixOf: rawSpan, minimumSize: minimumSize)
    }
}
