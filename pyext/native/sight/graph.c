#include "sight/graph.h"

#include <stdlib.h>
#include <string.h>

#define MOST_NODES 131072
#define MOST_EDGES 65536
/* Locks of one place that are all held at once have many edges, and leave some for the others. */
#define MOST_SINGLE_EDGES 49152
#define MOST_GATES 16
#define MOST_CIRCLES 1024
#define MOST_TOLD_EDGES 8192
#define LONGEST_CIRCLE 1024
/* A circle whose shortest form is ruled out by common locks is sought up to this length. */
#define LONGEST_DETOUR 32
#define MOST_STEPS 65536
/* Circles among the locks that were made in one place. They are alike, and there may be many. */
#define MOST_ALIKE 32
#define MOST_ALIKE_HELD 16
#define BUCKETS 16384

/* A place, or a single lock. Index 0 stands for none, and counts for the graph of places. */
typedef struct {
    uint64_t key;
    uint32_t next; /* in its bucket, or of the free ones */
    uint32_t first_out, first_in;
    uint32_t graph;       /* the place whose locks the graph is of, or 0 */
    int64_t rank;         /* edges lead to higher ranks, except for edges back */
    uint64_t visit;       /* the last search that came here */
    uint32_t via;         /* the edge by which it came */
    uint32_t back, alike; /* of the graph of this place: edges back, circles */
} node;

typedef struct {
    uint32_t from, to;
    uint32_t next; /* in its bucket, or of the free ones */
    uint32_t next_out, previous_out, next_in, previous_in;
    bool back; /* it leads to a lower rank, because it closes a circle */
    uint8_t gate_count;
    uint32_t gates[MOST_GATES]; /* locks that were held every time */
    golock_order_edge seen;
} edge;

static struct {
    node *nodes;
    uint32_t node_count, node_room, free_node;
    edge *edges;
    uint32_t edge_count, edge_room, free_edge, single_edges;
    uint32_t *node_buckets, *edge_buckets;
    uint32_t *visited; /* room for two lists of all nodes */
    int64_t lowest, highest;
    uint64_t visit;
    golock_order_edge *told;
    uint32_t told_count;
    uint32_t circle_count;
    struct {
        uint32_t first, length;
        uint64_t hash;
    } circles[MOST_CIRCLES];
    uint64_t dropped;
} graph;

static uint64_t
mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 32;
}

bool
golock_graph_reset(void)
{
    if (graph.told == NULL) {
        graph.node_buckets = calloc(BUCKETS, sizeof(uint32_t));
        graph.edge_buckets = calloc(BUCKETS, sizeof(uint32_t));
        graph.told = calloc(MOST_TOLD_EDGES, sizeof(golock_order_edge));
        if (graph.node_buckets == NULL || graph.edge_buckets == NULL || graph.told == NULL) {
            free(graph.node_buckets);
            free(graph.edge_buckets);
            free(graph.told);
            graph.told = NULL;
            return false;
        }
    }
    memset(graph.node_buckets, 0, BUCKETS * sizeof(uint32_t));
    memset(graph.edge_buckets, 0, BUCKETS * sizeof(uint32_t));
    free(graph.nodes);
    free(graph.edges);
    free(graph.visited);
    graph.nodes = NULL;
    graph.edges = NULL;
    graph.visited = NULL;
    graph.node_count = graph.node_room = graph.free_node = 0;
    graph.edge_count = graph.edge_room = graph.free_edge = graph.single_edges = 0;
    graph.told_count = graph.circle_count = 0;
    graph.dropped = 0;
    return true;
}

/* Returns a new array of `room` items with the old one's first `count`, or NULL. */
static void *
grown(const void *old, size_t count, size_t room, size_t size)
{
    void *new = calloc(room, size);
    if (new != NULL && count > 0) {
        memcpy(new, old, count * size);
    }
    return new;
}

static bool
grow_nodes(void)
{
    if (graph.node_count < graph.node_room) {
        return true;
    }
    uint32_t room = graph.node_room == 0 ? 256 : 2 * graph.node_room;
    if (room > MOST_NODES) {
        return false;
    }
    node *nodes = grown(graph.nodes, graph.node_count, room, sizeof(node));
    uint32_t *visited = malloc(2 * room * sizeof(uint32_t));
    if (nodes == NULL || visited == NULL) {
        free(nodes);
        free(visited);
        return false;
    }
    free(graph.nodes);
    free(graph.visited);
    graph.nodes = nodes;
    graph.visited = visited;
    graph.node_room = room;
    graph.node_count += graph.node_count == 0;
    return true;
}

static bool
grow_edges(void)
{
    if (graph.edge_count < graph.edge_room) {
        return true;
    }
    uint32_t room = graph.edge_room == 0 ? 256 : 2 * graph.edge_room;
    edge *edges =
        room > MOST_EDGES ? NULL : grown(graph.edges, graph.edge_count, room, sizeof(edge));
    if (edges == NULL) {
        return false;
    }
    free(graph.edges);
    graph.edges = edges;
    graph.edge_room = room;
    graph.edge_count += graph.edge_count == 0;
    return true;
}

#define PLACE(place) ((uint64_t)(place))
#define SINGLE(number) ((uint64_t)1 << 32 | (number))

static uint32_t *
node_bucket(uint64_t key)
{
    return &graph.node_buckets[mix(0, key) % BUCKETS];
}

static uint32_t *
edge_bucket(uint32_t from, uint32_t to)
{
    return &graph.edge_buckets[mix(from, to) % BUCKETS];
}

static uint32_t
find_node(uint64_t key)
{
    uint32_t index = *node_bucket(key);
    while (index != 0 && graph.nodes[index].key != key) {
        index = graph.nodes[index].next;
    }
    return index;
}

static uint32_t
find_edge(uint32_t from, uint32_t to)
{
    uint32_t index = *edge_bucket(from, to);
    while (index != 0 && (graph.edges[index].from != from || graph.edges[index].to != to)) {
        index = graph.edges[index].next;
    }
    return index;
}

/* Returns the node, a new one if need be, or 0 if there is no room. */
static uint32_t
node_of(uint64_t key, uint32_t of)
{
    uint32_t index = find_node(key);
    if (index != 0) {
        return index;
    }
    index = graph.free_node;
    if (index != 0) {
        graph.free_node = graph.nodes[index].next;
    } else if (grow_nodes()) {
        index = graph.node_count++;
    } else {
        return 0;
    }
    uint32_t *bucket = node_bucket(key);
    graph.nodes[index] = (node){.key = key, .next = *bucket, .graph = of, .rank = ++graph.highest};
    *bucket = index;
    return index;
}

static void
free_node(uint32_t index)
{
    uint32_t *place = node_bucket(graph.nodes[index].key);
    while (*place != index) {
        place = &graph.nodes[*place].next;
    }
    *place = graph.nodes[index].next;
    graph.nodes[index] = (node){.next = graph.free_node};
    graph.free_node = index;
}

/* Returns a new edge that is in no list of its nodes yet, or 0 if there is no room. */
static uint32_t
new_edge(uint32_t from, uint32_t to)
{
    uint32_t index = graph.free_edge;
    if (index != 0) {
        graph.free_edge = graph.edges[index].next;
    } else if (grow_edges()) {
        index = graph.edge_count++;
    } else {
        return 0;
    }
    uint32_t *bucket = edge_bucket(from, to);
    graph.edges[index] = (edge){.from = from, .to = to, .next = *bucket};
    *bucket = index;
    return index;
}

static void
link_edge(uint32_t index)
{
    edge *e = &graph.edges[index];
    e->next_out = graph.nodes[e->from].first_out;
    e->next_in = graph.nodes[e->to].first_in;
    graph.edges[e->next_out].previous_out = index; /* edge 0 takes what has no place */
    graph.edges[e->next_in].previous_in = index;
    graph.nodes[e->from].first_out = index;
    graph.nodes[e->to].first_in = index;
}

static void
remove_edge(uint32_t index)
{
    edge *e = &graph.edges[index];
    uint32_t *out = e->previous_out == 0 ? &graph.nodes[e->from].first_out
                                         : &graph.edges[e->previous_out].next_out;
    uint32_t *in =
        e->previous_in == 0 ? &graph.nodes[e->to].first_in : &graph.edges[e->previous_in].next_in;
    *out = e->next_out;
    *in = e->next_in;
    graph.edges[e->next_out].previous_out = e->previous_out;
    graph.edges[e->next_in].previous_in = e->previous_in;
    graph.nodes[graph.nodes[e->from].graph].back -= e->back;
    graph.single_edges -= graph.nodes[e->from].graph != 0;
    uint32_t *place = edge_bucket(e->from, e->to);
    while (*place != index) {
        place = &graph.edges[*place].next;
    }
    *place = e->next;
    *e = (edge){.next = graph.free_edge};
    graph.free_edge = index;
}

static int
by_rank(const void *first, const void *second)
{
    int64_t a = graph.nodes[*(const uint32_t *)first].rank;
    int64_t b = graph.nodes[*(const uint32_t *)second].rank;
    return (a > b) - (a < b);
}

/* Lists the nodes that can be reached from the start without edges back, as far as their ranks are
 * between the bounds; against the edges if `backward`. Returns how many. */
static uint32_t
reach(uint32_t start, bool backward, int64_t lowest, int64_t highest, uint32_t *list)
{
    uint32_t length = 0;
    graph.visit++;
    graph.nodes[start].visit = graph.visit;
    list[length++] = start;
    for (uint32_t i = 0; i < length; i++) {
        const node *n = &graph.nodes[list[i]];
        uint32_t index = backward ? n->first_in : n->first_out;
        while (index != 0) {
            const edge *e = &graph.edges[index];
            uint32_t next = backward ? e->from : e->to;
            int64_t rank = graph.nodes[next].rank;
            if (!e->back && graph.nodes[next].visit != graph.visit && rank >= lowest &&
                rank <= highest) {
                graph.nodes[next].visit = graph.visit;
                list[length++] = next;
            }
            index = backward ? e->next_in : e->next_out;
        }
    }
    return length;
}

/* Changes ranks so that a new edge leads to a higher one. Returns false if that is impossible,
 * because the edge closes a circle. This is the algorithm of Pearce and Kelly: it looks only at
 * nodes whose ranks lie between those of the two, and a program that takes its locks in one order
 * seldom needs it. */
static bool
rank_edge(uint32_t from, uint32_t to)
{
    node *nodes = graph.nodes;
    const int64_t above = nodes[from].rank, below = nodes[to].rank;
    if (above < below) {
        return true;
    }
    if (nodes[to].first_out == 0) {
        nodes[to].rank = ++graph.highest;
        return true;
    }
    if (nodes[from].first_in == 0) {
        nodes[from].rank = --graph.lowest;
        return true;
    }
    uint32_t *list = graph.visited;
    uint32_t after = reach(to, false, below, above, list);
    if (nodes[from].visit == graph.visit) {
        return false;
    }
    uint32_t before = reach(from, true, below, above, list + after);
    uint32_t length = after + before;
    int64_t *ranks = malloc(length * sizeof(int64_t));
    if (ranks == NULL) {
        return false;
    }
    qsort(list, length, sizeof(uint32_t), by_rank);
    for (uint32_t i = 0; i < length; i++) {
        ranks[i] = nodes[list[i]].rank;
    }
    uint32_t next = 0;
    for (int back = 1; back >= 0; back--) { /* those before the edge first */
        for (uint32_t i = 0; i < length; i++) {
            bool is_before = nodes[list[i]].visit == graph.visit;
            if (is_before == back) {
                nodes[list[i]].via = next++;
            }
        }
    }
    for (uint32_t i = 0; i < length; i++) {
        nodes[list[i]].rank = ranks[nodes[list[i]].via];
    }
    free(ranks);
    return true;
}

static bool
share_a_gate(const edge *one, const edge *other)
{
    for (int i = 0; i < one->gate_count; i++) {
        for (int j = 0; j < other->gate_count; j++) {
            if (one->gates[i] == other->gates[j]) {
                return true;
            }
        }
    }
    return false;
}

static uint64_t
key_of_start(uint32_t edge)
{
    return graph.nodes[graph.edges[edge].from].key;
}

/* Returns a number for the circle of the nodes from which these edges lead, wherever it begins. A
 * node that was forgotten and is known again has another index, so only the keys count. */
static uint64_t
hash_of(const uint32_t *path, uint32_t length)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < length; i++) {
        if (key_of_start(path[i]) < key_of_start(path[first])) {
            first = i;
        }
    }
    uint64_t hash = mix(UINT64_MAX, length);
    for (uint32_t i = 0; i < length; i++) {
        hash = mix(hash, key_of_start(path[(first + i) % length]));
    }
    return hash;
}

/* Whether a circle is one that can end in a deadlock and was not told. */
static bool
is_news(const uint32_t *path, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        for (uint32_t j = i + 1; j < length; j++) {
            if (share_a_gate(&graph.edges[path[i]], &graph.edges[path[j]])) {
                return false;
            }
        }
    }
    uint64_t hash = hash_of(path, length);
    for (uint32_t i = 0; i < graph.circle_count; i++) {
        if (graph.circles[i].hash == hash) {
            return false;
        }
    }
    return true;
}

/* Finds a shortest circle that begins with path[0], without edges that share a gate with it.
 * Returns its length, or 0. */
static uint32_t
find_shortest(uint32_t *path)
{
    const edge *closing = &graph.edges[path[0]];
    const uint32_t target = closing->from;
    uint32_t *list = graph.visited, length = 0;
    graph.visit++;
    graph.nodes[closing->to].visit = graph.visit;
    list[length++] = closing->to;
    for (uint32_t i = 0; i < length && graph.nodes[target].visit != graph.visit; i++) {
        uint32_t index = graph.nodes[list[i]].first_out;
        for (; index != 0; index = graph.edges[index].next_out) {
            const edge *e = &graph.edges[index];
            if (graph.nodes[e->to].visit != graph.visit && !share_a_gate(e, closing)) {
                graph.nodes[e->to].visit = graph.visit;
                graph.nodes[e->to].via = index;
                list[length++] = e->to;
            }
        }
    }
    if (graph.nodes[target].visit != graph.visit) {
        return 0;
    }
    uint32_t found = 1;
    for (uint32_t at = target; at != closing->to; at = graph.edges[graph.nodes[at].via].from) {
        found++;
    }
    if (found > LONGEST_CIRCLE) {
        graph.dropped++;
        return 0;
    }
    uint32_t place = found;
    for (uint32_t at = target; at != closing->to; at = graph.edges[graph.nodes[at].via].from) {
        path[--place] = graph.nodes[at].via;
    }
    return found;
}

/* Finds a circle of exactly this length that begins with path[0] and is news, by trying all paths.
 */
static bool
find_by_trying(uint32_t *path, uint32_t length, uint32_t *steps)
{
    const uint32_t target = graph.edges[path[0]].from;
    uint32_t depth = 1;
    uint32_t index = graph.nodes[graph.edges[path[0]].to].first_out;
    for (;;) {
        while (index == 0) { /* go back */
            if (--depth == 0) {
                return false;
            }
            index = graph.edges[path[depth]].next_out;
        }
        if (++*steps > MOST_STEPS) {
            return false;
        }
        const edge *e = &graph.edges[index];
        bool fits = (e->to == target) == (depth + 1 == length);
        for (uint32_t i = 0; fits && i < depth; i++) {
            fits = graph.edges[path[i]].to != e->to && !share_a_gate(&graph.edges[path[i]], e);
        }
        path[depth] = index;
        if (fits && e->to == target && is_news(path, length)) {
            return true;
        }
        if (fits && e->to != target) {
            depth++;
            index = graph.nodes[e->to].first_out;
        } else {
            index = e->next_out;
        }
    }
}

static void
tell(const uint32_t *path, uint32_t length)
{
    if (graph.circle_count == MOST_CIRCLES || graph.told_count + length > MOST_TOLD_EDGES) {
        graph.dropped++;
        return;
    }
    for (uint32_t i = 0; i < length; i++) {
        graph.told[graph.told_count + i] = graph.edges[path[i]].seen;
    }
    graph.circles[graph.circle_count].first = graph.told_count;
    graph.circles[graph.circle_count].length = length;
    graph.circles[graph.circle_count].hash = hash_of(path, length);
    graph.told_count += length;
    graph.circle_count++;
    graph.nodes[graph.nodes[graph.edges[path[0]].from].graph].alike++;
}

/* Tells of a circle with this edge, if there is one to tell of. */
static void
search(uint32_t index)
{
    static uint32_t path[LONGEST_CIRCLE];
    path[0] = index;
    uint32_t length = find_shortest(path), steps = 0;
    if (length == 0 || is_news(path, length)) {
        if (length > 0) {
            tell(path, length);
        }
        return;
    }
    for (; length <= LONGEST_DETOUR && steps <= MOST_STEPS; length++) {
        if (find_by_trying(path, length, &steps)) {
            tell(path, length);
            return;
        }
    }
    graph.dropped += steps > MOST_STEPS;
}

/* Moves the gates that are held now to the front. Returns how many there are. */
static int
count_gates(edge *e, const golock_ordered_lock *held, int count)
{
    int kept = 0;
    for (int i = 0; i < e->gate_count; i++) {
        for (int j = 0; j < count; j++) {
            if (held[j].number == e->gates[i]) {
                uint32_t gate = e->gates[i];
                e->gates[i] = e->gates[kept];
                e->gates[kept++] = gate;
                break;
            }
        }
    }
    return kept;
}

static void
set_gates(edge *e, const golock_ordered_lock *held, int count)
{
    e->gate_count = (uint8_t)(count < MOST_GATES ? count : MOST_GATES);
    for (int i = 0; i < e->gate_count; i++) {
        e->gates[i] = held[i].number;
    }
}

static void
add_edge(uint32_t from, uint32_t to, const golock_order_edge *seen, const golock_ordered_lock *held,
         int count)
{
    uint32_t of = graph.nodes[from].graph;
    uint32_t index = find_edge(from, to);
    if (index != 0) {
        edge *e = &graph.edges[index];
        int gates = count_gates(e, held, count);
        if (gates < e->gate_count) {
            e->gate_count = (uint8_t)gates;
            e->seen = *seen;
            if (graph.nodes[of].back > 0) {
                search(index);
            }
        }
        return;
    }
    bool refused =
        of != 0 && (graph.nodes[of].alike == MOST_ALIKE || graph.single_edges == MOST_SINGLE_EDGES);
    if (refused || (index = new_edge(from, to)) == 0) {
        graph.dropped++;
        return;
    }
    edge *e = &graph.edges[index];
    e->seen = *seen;
    set_gates(e, held, count);
    e->back = !rank_edge(from, to);
    graph.nodes[of].back += e->back;
    link_edge(index);
    graph.single_edges += of != 0;
    if (graph.nodes[of].back > 0) {
        search(index);
    }
}

/* The keys of the nodes between which an edge leads. Sets *of to the place if it is that of both
 * locks, or to 0. */
static void
keys_of(const golock_ordered_lock *from, const golock_ordered_lock *to, uint64_t *from_key,
        uint64_t *to_key, uint32_t *of)
{
    *of = from->place == to->place ? from->place : 0;
    *from_key = *of != 0 || from->place == 0 ? SINGLE(from->number) : PLACE(from->place);
    *to_key = *of != 0 || to->place == 0 ? SINGLE(to->number) : PLACE(to->place);
}

/* How many of the held locks are not compared: all but the last of those of the place. A program
 * may hold a thousand. */
static int
skipped(const golock_ordered_lock *held, int count, const golock_ordered_lock *taken)
{
    int alike = 0;
    for (int i = 0; i < count && taken->place != 0; i++) {
        alike += held[i].place == taken->place;
    }
    return alike > MOST_ALIKE_HELD ? alike - MOST_ALIKE_HELD : 0;
}

bool
golock_graph_has(const golock_ordered_lock *held, int count, const golock_ordered_lock *taken)
{
    int skip = skipped(held, count, taken);
    for (int i = 0; i < count && graph.node_count > 0; i++) {
        uint64_t from, to;
        uint32_t of;
        keys_of(&held[i], taken, &from, &to, &of);
        if (of != 0 && skip-- > 0) {
            continue;
        }
        uint32_t index = find_edge(find_node(from), find_node(to));
        if (from != to && (index == 0 || count_gates(&graph.edges[index], held, count) <
                                             graph.edges[index].gate_count)) {
            return false;
        }
    }
    return graph.node_count > 0 || count == 0;
}

uint32_t
golock_graph_add(const golock_ordered_lock *held, int count, golock_order_edge seen)
{
    int skip = skipped(held, count, &seen.to);
    for (int i = 0; i < count && graph.told != NULL; i++) {
        uint64_t from_key, to_key;
        uint32_t of_place, of = 0;
        keys_of(&held[i], &seen.to, &from_key, &to_key, &of_place);
        if ((of_place != 0 && skip-- > 0) || from_key == to_key) {
            continue;
        }
        if (of_place != 0) {
            of = node_of(PLACE(of_place), 0);
        }
        uint32_t from = node_of(from_key, of), to = node_of(to_key, of);
        if (from == 0 || to == 0 || (of_place != 0 && of == 0)) {
            graph.dropped++;
            continue;
        }
        seen.from = held[i];
        add_edge(from, to, &seen, held, count);
    }
    return graph.circle_count;
}

static void
remove_node(uint32_t index)
{
    while (graph.nodes[index].first_out != 0) {
        remove_edge(graph.nodes[index].first_out);
    }
    while (graph.nodes[index].first_in != 0) {
        remove_edge(graph.nodes[index].first_in);
    }
    free_node(index);
}

void
golock_graph_remove(uint32_t number, uint32_t place, bool all)
{
    if (graph.node_count == 0) {
        return;
    }
    uint32_t index = find_node(SINGLE(number));
    if (index != 0) {
        remove_node(index);
    }
    index = all && place != 0 ? find_node(PLACE(place)) : 0;
    if (index == 0) {
        return;
    }
    for (uint32_t i = graph.nodes[index].first_out, next; i != 0; i = next) {
        next = graph.edges[i].next_out;
        if (graph.edges[i].seen.from.number == number) {
            remove_edge(i);
        }
    }
    for (uint32_t i = graph.nodes[index].first_in, next; i != 0; i = next) {
        next = graph.edges[i].next_in;
        if (graph.edges[i].seen.to.number == number) {
            remove_edge(i);
        }
    }
}

golock_order_circle
golock_graph_circle(uint32_t index)
{
    return (golock_order_circle){&graph.told[graph.circles[index].first],
                                 graph.circles[index].length};
}

uint32_t
golock_graph_circles(void)
{
    return graph.circle_count;
}

uint64_t
golock_graph_dropped(void)
{
    return graph.dropped;
}
