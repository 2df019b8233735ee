extension Array {
    /// Sorts the elements, in little code and n log n steps (heap sort). Elements that are equal may change places.
    ///
    /// The standard library's sort is faster and keeps equal elements in order, but each use of it is some three
    /// kilobytes of the library that is loaded under foreign programs.
    /// - Parameter precedes: whether its first argument belongs before its second; a strict weak ordering.
    public mutating func sortCompactly(by precedes: (Element, Element) -> Bool) {
        var end = count
        var start = end / 2
        while end > 1 {
            if start > 0 {
                start -= 1
            } else {
                end -= 1
                swapAt(0, end)
            }
            var parent = start
            while true {
                var child = 2 * parent + 1
                guard child < end else { break }
                if child + 1 < end && precedes(self[child], self[child + 1]) { child += 1 }
                guard precedes(self[parent], self[child]) else { break }
                swapAt(parent, child)
                parent = child
            }
        }
    }

    /// The elements, sorted as ``sortCompactly(by:)`` does.
    public func sortedCompactly(by precedes: (Element, Element) -> Bool) -> [Element] {
        var copy = self
        copy.sortCompactly(by: precedes)
        return copy
    }
}
