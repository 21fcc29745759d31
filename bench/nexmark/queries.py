"""The queries of Nexmark, q0 to q22, in Flink's form, and what is changed in them for Ziwa.

The dump has one flat row an event (`FROM nexmark(...)`): VIEWS give it the three tables of the
published queries. A query of Ziwa's is Flink's after REWRITES, but for those that are written out.
"""

import dataclasses
import re

# As in the table function nexmark().
COLUMNS = {
    "event_type": "INT",
    "person_id": "BIGINT",
    "person_name": "VARCHAR",
    "person_emailAddress": "VARCHAR",
    "person_creditCard": "VARCHAR",
    "person_city": "VARCHAR",
    "person_state": "VARCHAR",
    "person_extra": "VARCHAR",
    "auction_id": "BIGINT",
    "auction_itemName": "VARCHAR",
    "auction_description": "VARCHAR",
    "auction_initialBid": "BIGINT",
    "auction_reserve": "BIGINT",
    "auction_expires": "TIMESTAMP",
    "auction_seller": "BIGINT",
    "auction_category": "BIGINT",
    "auction_extra": "VARCHAR",
    "bid_auction": "BIGINT",
    "bid_bidder": "BIGINT",
    "bid_price": "BIGINT",
    "bid_channel": "VARCHAR",
    "bid_url": "VARCHAR",
    "bid_extra": "VARCHAR",
    "dateTime": "TIMESTAMP",
}

KINDS = ("person", "auction", "bid")
VIEWS = {
    kind: "SELECT " + ", ".join(f"{name} AS {name.removeprefix(kind + '_')}" for name in COLUMNS
                                if name.startswith(kind + "_"))
    + f", `dateTime` FROM nexmark WHERE event_type = {number}" for number, kind in enumerate(KINDS)
}

# (pattern in Flink's form, what it is in ours, why). Applied in this order.
REWRITES = [
    (r"`(\w+)`", r'"\1"', "names are quoted by SQL's quotes"),
    (r"DATE_FORMAT\(([^,]+), 'yyyy-MM-dd'\)", r"strftime(\1, '%Y-%m-%d')", "DuckDB's function"),
    (r"DATE_FORMAT\(([^,]+), 'HH:mm'\)", r"strftime(\1, '%H:%M')", "DuckDB's function"),
    (r"SPLIT_INDEX\(url, '/', 3\)", "split_part(url, '/', 4)", "counts from 1"),
    (r"SPLIT_INDEX\(url, '/', 4\)", "split_part(url, '/', 5)", "counts from 1"),
    (r"SPLIT_INDEX\(url, '/', 5\)", "split_part(url, '/', 6)", "counts from 1"),
    (r"(REGEXP_EXTRACT\(.*?\)', 2\)) IS NOT NULL", r"\1 <> ''", "no match is '', not NULL"),
    (r"count_char\(extra, 'c'\)", "length(extra) - length(replace(extra, 'c', ''))",
     "a function of the benchmark's own, in Java"),
]

# Types that differ between the engines become one before a row is hashed.
CASTS = {
    "DOUBLE": ("CAST(trunc({}) AS BIGINT)", "AVG of BIGINT is BIGINT in Flink, DOUBLE in DuckDB"),
    "HUGEINT": ("CAST({} AS BIGINT)", "SUM of BIGINT is BIGINT in Flink, HUGEINT in DuckDB"),
    "DECIMAL": ("CAST({} * 1000 AS BIGINT)", "decimals are hashed as thousandths"),
    "TIMESTAMP": ("epoch_ms({})", "times are hashed as milliseconds"),
    "INTEGER": ("CAST({} AS BIGINT)", "integers are hashed as 64 bits"),
}


@dataclasses.dataclass(frozen=True)
class Query:
    """One query; `columns` of its result are hashed (none: all), `why` the others are not."""

    flink: str | None
    ziwa_form: str | None = None
    columns: tuple[str, ...] = ()
    summed: str | None = None
    why: str = ""

    @property
    def ziwa(self) -> str:
        """The query over topic nexmark."""
        text = self.ziwa_form or self.flink
        used = [kind for kind in KINDS if re.search(rf"\b{kind}\b(?!\.|_)", text)]
        views = ", ".join(f"{kind} AS ({VIEWS[kind]})" for kind in used)
        text = f"WITH {views} {text}" if views else text
        for pattern, ours, _ in REWRITES:
            text = re.sub(pattern, ours, text)
        return text


WINDOW = "TABLE({}(TABLE {}, DESCRIPTOR(`dateTime`), {}))"
HOP_BID = WINDOW.format("HOP", "bid", "INTERVAL '2' SECOND, INTERVAL '10' SECOND")
CHANNEL_ID = "REGEXP_EXTRACT(url, '(&|^)channel_id=([^&]*)', 2)"
RANKS = {
    "rank1": "price < 10000",
    "rank2": "price >= 10000 AND price < 1000000",
    "rank3": "price >= 1000000",
}


def tumble(table: str) -> str:
    return WINDOW.format("TUMBLE", table, "INTERVAL '10' SECOND")


def counts(what: str, name: str) -> str:
    """`what` of all bids, and of those in each range of prices."""
    return ", ".join([f"count({what}) AS total_{name}"]
                     + [f"count({what}) FILTER (WHERE {condition}) AS {rank}_{name}"
                        for rank, condition in RANKS.items()])


ALL_COUNTS = ", ".join([counts("*", "bids"), counts("DISTINCT bidder", "bidders"),
                        counts("DISTINCT auction", "auctions")])
DAY = "DATE_FORMAT(`dateTime`, 'yyyy-MM-dd')"
OF_AUCTION = "A.id = B.auction AND B.`dateTime` BETWEEN A.`dateTime` AND A.expires"

QUERIES = {
    "q0": Query("SELECT auction, bidder, price, `dateTime`, extra FROM bid"),
    "q1": Query("SELECT auction, bidder, 0.908 * price AS price, `dateTime`, extra FROM bid"),
    "q2": Query("SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0"),
    "q3": Query("""
        SELECT P.name, P.city, P.state, A.id
        FROM auction AS A INNER JOIN person AS P ON A.seller = P.id
        WHERE A.category = 10 AND (P.state = 'OR' OR P.state = 'ID' OR P.state = 'CA')"""),
    "q4": Query(f"""
        SELECT Q.category, AVG(Q.final) AS final
        FROM (SELECT MAX(B.price) AS final, A.category FROM auction A, bid B
              WHERE {OF_AUCTION} GROUP BY A.id, A.category) Q
        GROUP BY Q.category"""),
    "q5": Query(f"""
        SELECT AuctionBids.auction, AuctionBids.num
        FROM (SELECT auction, count(*) AS num, window_start AS starttime, window_end AS endtime
              FROM {HOP_BID} GROUP BY auction, window_start, window_end) AS AuctionBids
        JOIN (SELECT max(CountBids.num) AS maxn, CountBids.starttime, CountBids.endtime
              FROM (SELECT count(*) AS num, window_start AS starttime, window_end AS endtime
                    FROM {HOP_BID} GROUP BY auction, window_start, window_end) AS CountBids
              GROUP BY CountBids.starttime, CountBids.endtime) AS MaxBids
        ON AuctionBids.starttime = MaxBids.starttime AND AuctionBids.endtime = MaxBids.endtime
           AND AuctionBids.num >= MaxBids.maxn"""),
    "q6": Query(None, f"""
        SELECT Q.seller, AVG(Q.final) OVER (PARTITION BY Q.seller ORDER BY Q.`dateTime`
                                            ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) AS final
        FROM (SELECT A.seller, B.price AS final, B.`dateTime`,
                     ROW_NUMBER() OVER (PARTITION BY A.id, A.seller ORDER BY B.price DESC) AS rownum
              FROM auction A, bid B WHERE {OF_AUCTION}) Q
        WHERE Q.rownum <= 1"""),
    "q7": Query(f"""
        SELECT B.auction, B.price, B.bidder, B.`dateTime`, B.extra
        FROM bid B JOIN (SELECT MAX(price) AS maxprice, window_end AS `dateTime`
                         FROM {tumble('bid')} GROUP BY window_start, window_end) B1
        ON B.price = B1.maxprice
        WHERE B.`dateTime` BETWEEN B1.`dateTime` - INTERVAL '10' SECOND AND B1.`dateTime`"""),
    "q8": Query(f"""
        SELECT P.id, P.name, P.starttime
        FROM (SELECT id, name, window_start AS starttime, window_end AS endtime
              FROM {tumble('person')} GROUP BY id, name, window_start, window_end) P
        JOIN (SELECT seller, window_start AS starttime, window_end AS endtime
              FROM {tumble('auction')} GROUP BY seller, window_start, window_end) A
        ON P.id = A.seller AND P.starttime = A.starttime AND P.endtime = A.endtime"""),
    "q9": Query(f"""
        SELECT id, itemName, description, initialBid, reserve, `dateTime`, expires, seller,
               category, extra, auction, bidder, price, bid_dateTime, bid_extra
        FROM (SELECT A.*, B.auction, B.bidder, B.price, B.`dateTime` AS bid_dateTime,
                     B.extra AS bid_extra, ROW_NUMBER() OVER (PARTITION BY A.id
                     ORDER BY B.price DESC, B.`dateTime` ASC) AS rownum
              FROM auction A, bid B WHERE {OF_AUCTION}) Q
        WHERE rownum <= 1""",
                columns=("id", "itemName", "description", "initialBid", "reserve", "dateTime",
                         "expires", "seller", "category", "extra", "auction", "price",
                         "bid_dateTime"),
                why="bids of one price in one millisecond tie"),
    "q10": Query(f"""
        SELECT auction, bidder, price, `dateTime`, extra, {DAY} AS dt,
               DATE_FORMAT(`dateTime`, 'HH:mm') AS hm FROM bid"""),
    "q11": Query("""
        SELECT B.bidder, count(*) AS bid_count,
               SESSION_START(B.`dateTime`, INTERVAL '10' SECOND) AS starttime,
               SESSION_END(B.`dateTime`, INTERVAL '10' SECOND) AS endtime
        FROM bid B GROUP BY B.bidder, SESSION(B.`dateTime`, INTERVAL '10' SECOND)""",
                 """
        SELECT bidder, count(*) AS bid_count, window_start AS starttime, window_end AS endtime
        FROM session(bid PARTITION BY bidder, dateTime, INTERVAL 10 SECOND)
        GROUP BY bidder, window_start, window_end"""),
    "q12": Query("""
        SELECT bidder, count(*) AS bid_count, window_start AS starttime, window_end AS endtime
        FROM TABLE(TUMBLE(TABLE timed_bid, DESCRIPTOR(p_time), INTERVAL '10' SECOND))
        GROUP BY bidder, window_start, window_end""",
                 """
        SELECT bid_bidder AS bidder, count(*) AS bid_count, window_start AS starttime,
               window_end AS endtime
        FROM tumble((SELECT bid_bidder, _timestamp FROM nexmark WHERE event_type = 2), _timestamp,
                    INTERVAL 10 SECOND)
        GROUP BY bid_bidder, window_start, window_end""",
                 summed="bid_count",
                 why="windows of processing time, in ours of the time at which records were "
                 "written: the sum of the counts is compared"),
    "q13": Query("""
        SELECT B.auction, B.bidder, B.price, B.`dateTime`, S.`value`
        FROM timed_bid B JOIN side_input FOR SYSTEM_TIME AS OF B.p_time AS S
        ON MOD(B.auction, 10000) = S.key""",
                 """
        SELECT B.auction, B.bidder, B.price, B.`dateTime`, S.`value`
        FROM bid B JOIN side_input S ON MOD(B.auction, 10000) = S.key"""),
    "q14": Query("""
        SELECT auction, bidder, 0.908 * price AS price,
               CASE WHEN HOUR(`dateTime`) >= 8 AND HOUR(`dateTime`) <= 18 THEN 'dayTime'
                    WHEN HOUR(`dateTime`) <= 6 OR HOUR(`dateTime`) >= 20 THEN 'nightTime'
                    ELSE 'otherTime' END AS bidTimeType,
               `dateTime`, extra, count_char(extra, 'c') AS c_counts
        FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000"""),
    "q15": Query(f"SELECT {DAY} AS `day`, {ALL_COUNTS} FROM bid GROUP BY {DAY}"),
    "q16": Query(f"""
        SELECT channel, {DAY} AS `day`, max(DATE_FORMAT(`dateTime`, 'HH:mm')) AS `minute`,
               {ALL_COUNTS} FROM bid GROUP BY channel, {DAY}"""),
    "q17": Query(f"""
        SELECT auction, {DAY} AS `day`, {counts('*', 'bids')}, min(price) AS min_price,
               max(price) AS max_price, avg(price) AS avg_price, sum(price) AS sum_price
        FROM bid GROUP BY auction, {DAY}"""),
    "q18": Query("""
        SELECT auction, bidder, price, channel, url, `dateTime`, extra
        FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY bidder, auction
                                           ORDER BY `dateTime` DESC) AS rank_number FROM bid) Q
        WHERE rank_number <= 1""",
                 columns=("auction", "bidder", "dateTime"),
                 why="a bidder's last bids for an auction in one millisecond tie"),
    "q19": Query("""
        SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC)
                                 AS rank_number FROM bid) Q
        WHERE rank_number <= 10""",
                 columns=("auction", "price", "rank_number"),
                 why="bids of one price tie"),
    "q20": Query("""
        SELECT auction, bidder, price, channel, url, B.`dateTime` AS bid_dateTime,
               B.extra AS bid_extra, itemName, description, initialBid, reserve, A.`dateTime`,
               expires, seller, category, A.extra
        FROM bid AS B INNER JOIN auction AS A ON B.auction = A.id WHERE A.category = 10"""),
    "q21": Query(f"""
        SELECT auction, bidder, price, channel,
               CASE WHEN lower(channel) = 'apple' THEN '0' WHEN lower(channel) = 'google' THEN '1'
                    WHEN lower(channel) = 'facebook' THEN '2' WHEN lower(channel) = 'baidu' THEN '3'
                    ELSE {CHANNEL_ID} END AS channel_id
        FROM bid WHERE {CHANNEL_ID} IS NOT NULL
                       OR lower(channel) IN ('apple', 'google', 'facebook', 'baidu')"""),
    "q22": Query("""
        SELECT auction, bidder, price, channel, SPLIT_INDEX(url, '/', 3) AS dir1,
               SPLIT_INDEX(url, '/', 4) AS dir2, SPLIT_INDEX(url, '/', 5) AS dir3 FROM bid"""),
}
