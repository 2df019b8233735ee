// The standard library puts the whole of appending to a text in line, at each piece of each interpolated text: two
// kilobytes for a message with four numbers. In the library that is loaded under foreign programs that is too much, and
// speed is of no account there. What is declared outside of the standard library comes first, in files that import this
// module: those of the second build do so for this alone where they need nothing else of it.
#if hasFeature(Embedded)
    extension DefaultStringInterpolation {
        /// Appends what stands between the values.
        @inline(never)
        public mutating func appendLiteral(_ literal: String) { write(literal) }

        /// Appends a text.
        @inline(never)
        public mutating func appendInterpolation(_ text: String) { write(text) }

        /// Appends a value's description.
        @inline(__always)
        public mutating func appendInterpolation<Value: CustomStringConvertible>(_ value: Value) {
            appendInterpolation(value.description)
        }
    }
#endif
