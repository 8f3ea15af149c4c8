import CKernels

/// The (2,3)-threshold XOR scheme of Fujiwara et al. (2022) on one block of two equal halves.
///
/// Every buffer of a call has the same even length; an output of `split`, `join` or `refresh` may be the very buffer of
/// an input. `A = (S1+R1)||(S2+R2+R1)`, `B = (S1+R1+R2)||(S2+R2)`, `C = R1||R2`.
public enum ShareBlock {
    public typealias Output = UnsafeMutableRawBufferPointer
    public typealias Input = UnsafeRawBufferPointer

    /// A and B from the secret and as many uniform bytes, which are C and are never used again.
    public static func split(a: Output, b: Output, secret: Input, c: Input) {
        let half = half(of: [Input(a), Input(b), secret, c])
        guard half > 0 else { return }
        ck_share_split(a.baseAddress!, b.baseAddress!, secret.baseAddress!, c.baseAddress!, half)
    }

    public static func join(_ secret: Output, a: Input, b: Input) {
        let half = half(of: [Input(secret), a, b])
        guard half > 0 else { return }
        ck_share_join_ab(secret.baseAddress!, a.baseAddress!, b.baseAddress!, half)
    }

    public static func join(_ secret: Output, a: Input, c: Input) {
        let half = half(of: [Input(secret), a, c])
        guard half > 0 else { return }
        ck_share_join_ac(secret.baseAddress!, a.baseAddress!, c.baseAddress!, half)
    }

    public static func join(_ secret: Output, b: Input, c: Input) {
        let half = half(of: [Input(secret), b, c])
        guard half > 0 else { return }
        ck_share_join_bc(secret.baseAddress!, b.baseAddress!, c.baseAddress!, half)
    }

    /// A from B and C without forming the secret; `output` is a buffer of its own.
    public static func repair(a output: Output, b: Input, c: Input) {
        let half = half(of: [Input(output), b, c])
        guard half > 0 else { return }
        ck_share_repair_ab(output.baseAddress!, b.baseAddress!, c.baseAddress!, half)
    }

    /// B from A and C without forming the secret; `output` is a buffer of its own.
    public static func repair(b output: Output, a: Input, c: Input) { repair(a: output, b: a, c: c) }

    /// C from A and B without forming the secret; `output` is a buffer of its own.
    public static func repair(c output: Output, a: Input, b: Input) {
        let half = half(of: [Input(output), a, b])
        guard half > 0 else { return }
        ck_share_repair_c(output.baseAddress!, a.baseAddress!, b.baseAddress!, half)
    }

    /// Whether the three belong together: A + B equals C with its halves swapped.
    public static func isConsistent(a: Input, b: Input, c: Input) -> Bool {
        let half = half(of: [a, b, c])
        guard half > 0 else { return true }
        return ck_share_consistent(a.baseAddress!, b.baseAddress!, c.baseAddress!, half) == 1
    }

    /// Adds to a share its part of a sharing of zero; `zero` is uniform and the same for the three shares.
    public static func refresh(a: Output, zero: Input) {
        let half = half(of: [Input(a), zero])
        if half > 0 { ck_share_refresh_a(a.baseAddress!, zero.baseAddress!, half) }
    }

    public static func refresh(b: Output, zero: Input) {
        let half = half(of: [Input(b), zero])
        if half > 0 { ck_share_refresh_b(b.baseAddress!, zero.baseAddress!, half) }
    }

    public static func refresh(c: Output, zero: Input) {
        let half = half(of: [Input(c), zero])
        if half > 0 { ck_share_refresh_c(c.baseAddress!, zero.baseAddress!, half) }
    }

    private static func half(of buffers: [Input]) -> Int {
        let count = buffers[0].count
        precondition(
            count % 2 == 0 && buffers.allSatisfy { $0.count == count }, "share blocks of odd or unequal length")
        return count / 2
    }
}
