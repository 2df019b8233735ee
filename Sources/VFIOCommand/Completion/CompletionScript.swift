/// The scripts that make shells complete the command's words.
enum CompletionScript {
    /// A script of the argument parser's, with what it lacks for words like `0000:01:00.0` and `user:/run/a.sock`: bash
    /// takes such a word for several, because it has a colon.
    /// - Parameter script: any text; one that is no script for bash comes back unchanged.
    static func mended(_ script: String, for command: String) -> String {
        let ending = "complete -o filenames -F _\(command) \(command)"
        guard script.hasPrefix("#!/bin/bash"), let range = script.lastRange(of: ending) else { return script }
        return script.replacingCharacters(in: range, with: joining(command))
    }

    /// Calls the parser's function with the words as the command is given them, and hands bash the rest of each answer
    /// behind the last colon or equals sign that it has already.
    private static func joining(_ command: String) -> String {
        #"""
        _§_joining_words() {
            local -a joined=()
            local -i index at=0
            local word rest="${COMP_LINE}" is_glued=false
            for ((index = 0; index < ${#COMP_WORDS[@]}; index++)); do
                word="${COMP_WORDS[index]}"
                # What no white space divides in the line is one word.
                is_glued=false
                [[ -n "${rest}" && "${rest}" != [[:space:]]* ]] && ((index > 0)) && is_glued=true
                while [[ "${rest}" == [[:space:]]* ]]; do rest="${rest:1}"; done
                if "${is_glued}" && [[ "${word}" == [:=]* || "${COMP_WORDS[index - 1]}" == *[:=] ]]; then
                    joined[${#joined[@]} - 1]+="${word}"
                else
                    joined+=("${word}")
                fi
                ((index == COMP_CWORD)) && at=$((${#joined[@]} - 1))
                rest="${rest#"${word}"}"
            done
            local -a COMP_WORDS=("${joined[@]}")
            local -i COMP_CWORD="${at}"
            local current="${COMP_WORDS[at]}" previous="" head
            ((at == 0)) || previous="${COMP_WORDS[at - 1]}"
            # Of a word like --option=value the option is what comes before.
            head="${current%"${current##*[:=]}"}"
            if [[ "${current}" == --*=* ]]; then
                previous="${current%%=*}"
                current="${current#*=}"
                head="${current%"${current##*[:=]}"}"
            fi
            _§ "${1}" "${current}" "${previous}"
            # Not names of files: no colon is to get a backslash, and nothing follows a word that goes on.
            [[ "${COMPREPLY[*]}" != *:* ]] || compopt +o filenames
            [[ "${COMPREPLY[*]}" != *[:/] ]] || compopt -o nospace
            [[ "${COMP_WORDBREAKS}" == *:* && -n "${head}" ]] || return 0
            for index in "${!COMPREPLY[@]}"; do COMPREPLY[index]="${COMPREPLY[index]#"${head}"}"; done
        }

        complete -o filenames -F _§_joining_words §
        """#.split(separator: "§", omittingEmptySubsequences: false).joined(separator: command)
    }
}

extension String {
    fileprivate func lastRange(of text: String) -> Range<String.Index>? {
        let length = text.count
        var start = index(endIndex, offsetBy: -length, limitedBy: startIndex)
        while let at = start {
            if self[at...].hasPrefix(text) { return at..<index(at, offsetBy: length) }
            start = at == startIndex ? nil : index(before: at)
        }
        return nil
    }

    fileprivate func replacingCharacters(in range: Range<Index>, with text: String) -> String {
        self[..<range.lowerBound] + text + self[range.upperBound...]
    }
}
