"""The arithmetic of the runner, checked without starting anything."""

import socket
import unittest
from unittest import mock

from . import charts, counts, document, load, lookers, looking, measure, pace, paths, peers
from . import reloadable, reloading, rounds, rows, tables
from .summary import Summary

ROW = next(row for row in rows.ROWS if row.name == "echo-64-64-1")
OBSERVED = next(row for row in rows.ROWS if row.name == "echo-observed")


def result(**costs):
    """A row in which each peer has these costs."""
    taken = {name.replace("_", " "): {"cost": values} for name, values in costs.items()}
    return {"row": ROW.name, "peers": taken, "failed": {}, "left_out": {}}


class Ratios(unittest.TestCase):
    def test_the_best_product_is_neither_a_floor_nor_ourselves(self):
        summary = Summary(result(oneloop=[3.0], C_epoll=[1.0], tokio=[4.0], libuv=[5.0]))
        self.assertEqual(summary.best_product(), "tokio")
        self.assertEqual(summary.best_floor(), "C epoll")
        self.assertAlmostEqual(summary.ratio("oneloop"), 4 / 3)
        self.assertAlmostEqual(summary.ratio("libuv"), 0.8)

    def test_the_median_counts_and_the_span_is_shown(self):
        summary = Summary(result(oneloop=[9.0, 1.0, 2.0], tokio=[2.0]))
        figure = summary.peers["oneloop"]["cost"]
        self.assertEqual((figure.median, figure.least, figure.most), (2.0, 1.0, 9.0))

    def test_without_a_product_there_is_no_ratio(self):
        summary = Summary(result(oneloop=[3.0], C_epoll=[1.0]))
        self.assertIsNone(summary.ratio("oneloop"))
        self.assertIn("–", tables.plain(ROW, summary))


class Settings(unittest.TestCase):
    def summary(self):
        taken = {"oneloop": [5.0, 10.0, 4.0], "debug log": [5.5, 10.1, 4.0], "scraped": [4.5]}
        peers = {name: {"cost": values} for name, values in taken.items()}
        return Summary({"row": OBSERVED.name, "peers": peers, "failed": {}, "left_out": {}})

    def test_a_setting_is_compared_with_none_in_the_same_round(self):
        summary = self.summary()
        self.assertAlmostEqual(summary.more("debug log"), 0.01)
        self.assertAlmostEqual(summary.more("scraped"), -0.1)
        self.assertIsNone(summary.more("oneloop"))

    def test_the_table_of_settings_has_differences_instead_of_ratios(self):
        table = {line[0]: line[1] for line in tables.cells(OBSERVED, self.summary())}
        shown = {"setting": "more", "oneloop": "–", "debug log": "+1.0 %", "scraped": "−10.0 %"}
        self.assertEqual(table, shown)


class Reloads(unittest.TestCase):
    PLAN = reloadable.Plan(tuple(range(20_000, 20_010)), 7, 8, 2)

    def test_a_reload_changes_one_of_ten_routes(self):
        for program in reloadable.PROGRAMS:
            same = reloadable.Plan(self.PLAN.ports, 7, 7)
            plans = (same, self.PLAN)
            old, new = (program.config(plan, "/x").splitlines() for plan in plans)
            self.assertEqual(len(old), len(new), program.name)
            differing = [(a, b) for a, b in zip(old, new) if a != b]
            self.assertIn(len(differing), (1, 2, 3), program.name)
            for port in self.PLAN.ports:
                self.assertEqual(sum(f":{port}" in line for line in new), 1, program.name)

    def test_a_version_is_the_first_number(self):
        for text, version in [
            ("oneloop 0.1.0\n", "0.1.0"),
            ("HAProxy version 2.6.12-1+deb12u3 2025/10/03 - https://haproxy.org/", "2.6.12"),
            ("nginx version: nginx/1.22.1\n", "1.22.1"),
            ("none", ""),
        ]:
            self.assertEqual(reloadable.version_of(text), version)

    def test_memory_is_read_and_missing_of_what_has_ended(self):
        text = "55-66 ---p 0 0 0 [rollup]\nRss:   20 kB\nPss:   7 kB\nPss_Anon: 3 kB\n"
        self.assertEqual(reloadable.memory_in(text), (20 * 1024, 7 * 1024))
        self.assertIsNone(reloadable.memory_in(""))

    def test_an_answer_is_read_whole_and_in_chunks(self):
        plain = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\": [1]}"
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunked = head + b"4\r\n{\"a\"\r\n6\r\n: [1]}\r\n0\r\n\r\n"
        self.assertEqual(reloading.body_of(plain), {"a": [1]})
        self.assertEqual(reloading.body_of(chunked), {"a": [1]})

    def test_what_a_port_has_accepted_is_not_that_of_another(self):
        rows = [{"name": "tcp://127.0.0.1:21000", "accepted": 4}]
        rows.append({"name": "tcp://127.0.0.1:1000", "accepted": 3})
        self.assertEqual(reloading.accepted_in({"routes": rows}, 1000), 3)
        self.assertEqual(reloading.accepted_in({"routes": rows}, 2000), 0)

    def test_a_cut_connection_neither_echoes_nor_is_open(self):
        pairs = [socket.socketpair() for _ in range(3)]
        ours, theirs = ([pair[at] for pair in pairs] for at in (0, 1))
        theirs[1].sendall(b"1:000001\n")
        theirs[1].shutdown(socket.SHUT_WR)
        theirs[2].close()
        live = reloading.Live()
        with live:
            live.sockets, live.routes = ours, [0, 3, 3]
            ours[0].settimeout(0.01)
            # The first is silent, the second echoes, the third is closed.
            self.assertEqual(live.cut(), 2)
            self.assertEqual([reloading.is_closed(each) for each in ours], [False, True, True])
            self.assertEqual(live.of_route(3), ours[1:])
        for each in theirs:
            each.close()

    def test_failures_are_told_apart(self):
        failures = [ConnectionRefusedError(), ConnectionResetError(), TimeoutError(), OSError()]
        told = [reloading.failure_of(error) for error in failures]
        self.assertEqual(told, ["refused", "reset", "late", "reset"])

    def test_the_table_has_medians_and_all_failures(self):
        def once(memory, refused):
            held = {"processes": 2, "resident": memory, "proportional": memory / 2}
            known = {"start": held, "one": held | {"cut": 0}, "ten": held | {"cut": refused}}
            known |= {"connects": 3000, "refused": refused, "reset": 0, "late": 1}
            return known | {"seconds": 0.02, "live": 9, "live_closed": 9, "new": 3, "new_closed": 0}

        result = {"machine": {"cores": 2, "cpu": "x"}, "conns": 1000, "stay": 20, "reloads": 10}
        result["versions"] = {"a": "1.0"}
        result["programs"] = {"a": [once(1e6, 0), once(9e6, 4), once(2e6, 0)]}
        table = reloading.table(result)
        for line in [
            "| | a 1.0 |".replace("| |", "|  |"),
            "| connections cut by 10 reloads, of 1,200 | 0 |",
            "| of these refused / reset / without an answer | 4 / 0 / 3 |",
            "| resident MB before, after 1, after 10 | 2.0, 2.0, 2.0 |",
            "| live connections closed by a shorter idle timeout | 9 of 9 |",
        ]:
            self.assertIn(line + "\n", table)


class Lookers(unittest.TestCase):
    def answers(self, *answers):
        """What a client counts of each of these answers, which arrive a byte at a time."""
        client, daemon = socket.socketpair()
        looker = lookers.Client.__new__(lookers.Client)
        looker.address, looker.socket = "7", mock.Mock(wraps=client)
        looker.socket.recv = lambda _: client.recv(1)
        with client, daemon:
            lengths = []
            for answer in answers:
                daemon.sendall(answer)
                lengths.append(looker.get("/"))
            self.assertIn(b"Host: 127.0.0.1:7\r\n", daemon.recv(1000))
            return lengths

    def test_an_answer_ends_with_its_length_or_its_last_chunk(self):
        head = b"HTTP/1.1 200 OK\r\n"
        plain = head + b"Content-Length: 4\r\n\r\nbody"
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n3\r\n0\n0\r\n0\r\n\r\n"
        empty = head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        self.assertEqual(self.answers(plain, chunked, empty, plain), [4, 13, 5, 4])

    def test_a_refusal_is_a_failure(self):
        with self.assertRaises(OSError):
            self.answers(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


class Looking(unittest.TestCase):
    def test_a_percentile_is_one_of_the_values(self):
        values = list(range(1, 101))
        self.assertEqual([looking.percentile(values, part) for part in (50, 99)], [50, 99])
        self.assertEqual([looking.percentile([7], part) for part in (50, 99)], [7, 7])
        self.assertEqual(looking.percentile([3, 1, 2], 50), 2)

    def test_the_ratio_is_that_of_both_in_the_same_round(self):
        def figures(echo, **counted):
            known = dict.fromkeys(looking.FIGURES, echo)
            return known | {"echo_rate": 2000, "busy": 0.1, "memory": 5e6} | counted

        lists = {"lists": 8, "seconds": 4.0}
        rounds = [
            {"without": figures(100.0), "with": figures(110.0, **lists)},
            {"without": figures(1000.0), "with": figures(900.0, **lists)},
            {"without": figures(10.0), "with": figures(20.0, **lists)},
        ]
        asked = mock.Mock(rounds=3, seconds=4.0, idle=15_000)
        text = looking.shown(rounds, [6e6, 7e6], asked)
        self.assertIn("| echo p99 µs | 100 | 110 | 1.10 | 0.90–2.00 |", text)
        self.assertIn("For each second: 2.00 lists,", text)
        self.assertIn("15,000 idle connections", text)


class Disturbances(unittest.TestCase):
    def test_a_disturbed_measurement_is_made_again_and_the_least_disturbed_counts(self):
        def once(*made):
            made = [{"cost": n, "clean": clean, "others": o} for n, (clean, o) in enumerate(made)]
            made = mock.Mock(side_effect=made)
            with mock.patch.object(rounds, "measure", made):
                turns = rounds.Rounds(None, 1, 1.0, 1, 0, print)
                return turns.once(ROW, None)["cost"], made.call_count

        self.assertEqual(once((0.5, 0.1)), (0, 1))
        self.assertEqual(once((0, 0.1), (0.5, 0.2)), (1, 2))
        self.assertEqual(once((0, 0.1), (0.5, 0.9), (0.5, 0.0)), (1, 2))
        self.assertEqual(once((0, 0.1), (0, 0.0), (0.5, 0.0)), (1, 2))


class Paces(unittest.TestCase):
    def test_what_a_unit_costs_is_reckoned_from_clean_steps(self):
        clean, slow = (100, 1.0, True), (50, 1.0, False)
        factor, count = pace.correction([clean, slow] * 5)
        self.assertAlmostEqual(factor, 0.01 / (10.0 / 750))
        self.assertEqual(count, 5)

    def test_too_few_clean_steps_correct_nothing(self):
        self.assertEqual(pace.correction([(100, 1.0, True)] * 4 + [(9, 1.0, False)]), (1.0, 0))
        self.assertEqual(pace.correction([]), (1.0, 0))

    def test_beginning_and_end_of_the_work_are_left_out(self):
        work = [0, 0, 5, 90, 100, 100, 100, 90, 100, 2, 0]
        self.assertEqual(pace.busy(work), [(5, 100), (6, 100)])
        self.assertEqual(pace.busy([]), [])

    def test_between_two_readings_time_is_spent_evenly(self):
        readings = [(0.0, 1.0), (1.0, 2.0), (2.0, 4.0)]
        self.assertEqual([pace.at(readings, t) for t in (-1, 0, 0.5, 1.5, 9)], [1, 1, 1.5, 3, 4])


class Deliveries(unittest.TestCase):
    def report(self, **server):
        fanout = {"load": "fanout", "deliveries": 2_000, "deliveries_per_second": 1_000.0}
        fanout["latency_us"] = {"p50": 5.0, "p99": 9.0}
        return load.Report({"loads": [fanout], "server": server})

    def test_a_delivery_is_the_unit_of_a_hub(self):
        row = next(row for row in rows.ROWS if row.name == "hub-64-1000")
        figures = measure.work(row, self.report(cpu_us_per_delivery=2.5))
        self.assertEqual(figures, {"cost": 2.5, "rate": 1_000.0, "p50": 5.0, "p99": 9.0})
        self.assertEqual(measure.WORK[row.unit], "delivered")
        summary = Summary(result(oneloop=[2.0], ncat_broker=[3.0]))
        self.assertEqual(summary.best_product(), "ncat broker")
        self.assertIn("CPU µs/delivery", tables.plain(row, summary))

    def test_only_a_hub_has_a_load_of_its_own(self):
        loads = {row.service: load.generator(row.service)[0] for row in rows.ROWS}
        own = str(paths.FANOUT)
        self.assertEqual([service for service, path in loads.items() if path == own], [rows.HUB])


class Texts(unittest.TestCase):
    def test_numbers_have_three_digits(self):
        shown = {0: "0", 0.1234: "0.123", 4.567: "4.57", 123.4: "123", 4321: "4321"}
        shown |= {12_345: "12.3 k", 1_234_567: "1.23 M", 9_999: "10 k"}
        for value, text in shown.items():
            self.assertEqual(tables.number(value), text)

    def test_lists_of_numbers_stand_on_one_line(self):
        self.assertEqual(rounds.flatten('{"a": [\n 1.0,\n 2\n]}'), '{"a": [1.0, 2]}')

    def test_only_what_is_between_markers_is_made_anew(self):
        book = mock.Mock()
        book.make_row.return_value = "new"
        page = "a\n<!-- begin: row echo-64 -->\nold\n<!-- end -->\nb\n"
        made = document.fill(page, book)
        self.assertEqual(made, "a\n<!-- begin: row echo-64 -->\nnew\n<!-- end -->\nb\n")
        self.assertEqual(document.fill(made, book), made)
        book.make_row.assert_called_with("echo-64")

    def test_rows_of_another_machine_are_named_with_it(self):
        book = document.Book.__new__(document.Book)
        book.rows = [row for row in rows.ROWS if row.name in ("echo-churn", "hub-64-100")]
        facts = {"date": "2026-01-02", "cpu": "A", "cores": 2, "memory_gib": 8, "kernel": "Linux 6"}
        book.results = {row.name: {"machine": facts} for row in book.rows}
        one = "Measured 2026-01-02 on 2 cores of A, 8 GiB, Linux 6."
        self.assertEqual(book.make_machine(""), one)
        other = facts | {"cpu": "B", "date": "2026-01-03"}
        book.results["hub-64-100"] = {"machine": other}
        two = f"{one} hub-64-100: 2026-01-03 on 2 cores of B, 8 GiB, Linux 6."
        self.assertEqual(book.make_machine(""), two)

    def test_a_chart_is_well_formed_and_escapes_its_texts(self):
        summary = Summary(result(oneloop=[3.0, 4.0], tokio=[400.0], libuv=[5.0]))
        drawn = charts.chart("a < b", [(ROW, summary)])
        from xml.dom import minidom

        minidom.parseString(drawn)
        self.assertIn("a &lt; b", drawn)

    def test_ticks_are_round_and_reach_the_end(self):
        self.assertEqual(charts.ticks(17), [0, 5, 10, 15])
        self.assertEqual(len(charts.ticks(0.9)), 5)


class Rows(unittest.TestCase):
    def test_names_are_unlike_and_each_has_somebody_to_compare(self):
        names = [row.name for row in rows.ROWS]
        self.assertEqual(len(names), len(set(names)))
        for row in rows.ROWS:
            able = {peer.name for peer in peers.PEERS if peer.can(row.service, row.conns)}
            other = "admin and metrics" if row.of_settings() else "tokio"
            self.assertTrue({"oneloop", other} <= able, row.name)

    def test_a_row_of_settings_has_no_peers_and_is_in_no_overview(self):
        row = next(row for row in rows.ROWS if row.of_settings())
        able = [peer for peer in peers.PEERS if peer.can(row.service, row.conns)]
        self.assertEqual({peer.kind for peer in able}, {peers.OWN, peers.SETTING})
        book = document.Book.__new__(document.Book)
        taken = {peer.name: {"cost": [1.0]} for peer in able}
        known = {"row": row.name, "peers": taken, "failed": {}, "left_out": {}}
        book.results, book.rows = {row.name: known}, [row]
        self.assertNotIn(row.name, book.make_overview(""))

    def test_counted_rows_exist(self):
        self.assertTrue(set(counts.ROWS) <= {row.name for row in rows.ROWS})

    def test_templates_name_only_what_is_known(self):
        for peer in peers.PEERS:
            for service in peer.services:
                known = peers.values()
                for word in [*peer.command(service, known), *peer.looked_at_by(known)]:
                    self.assertNotIn("$", word)


if __name__ == "__main__":
    unittest.main()
